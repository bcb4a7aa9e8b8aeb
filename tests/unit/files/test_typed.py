"""Files of a run as typed records: read as they were written, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.data.outputs import CompletionRow, Windows
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_jsonl, write_json, write_jsonl
from holdfast.files.journal import Journal, finished
from holdfast.files.typed import read_rows, read_typed

ROW = {"level": "", "draw": 0, "set": "benign", "id": "a", "tokens": 3, "finished": True}


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    texts = ["plain", "half an emoji: \ud83d", "\u2028 \0"]
    rows = [CompletionRow.model_validate(ROW | {"completion": text}) for text in texts]
    write_jsonl(tmp_path / "rows", rows)
    assert read_jsonl(tmp_path / "rows") == [ROW | {"completion": text} for text in texts]
    assert read_rows(CompletionRow, tmp_path / "rows") == rows


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"draw": "0"}, "1.draw"),
        ({"finished": 1}, "1.finished"),
        ({"set": "cruel"}, "1.set"),
        ({"completion": None}, "1.completion"),
        ({"more": 1}, "1.more"),
    ],
)
def test_a_row_that_is_none_is_told(tmp_path: Path, change: dict[str, Any], where: str) -> None:
    row = ROW | {"completion": "x"}
    write_jsonl(tmp_path / "rows", [row, row | change])
    with pytest.raises(HoldfastError, match=rf"rows is damaged .*\({where}: .*delete it"):
        read_rows(CompletionRow, tmp_path / "rows")


def test_a_dictionary_of_numbers_is_read_strictly(tmp_path: Path) -> None:
    write_json(tmp_path / "scores", {"0": 1, "1": 0.5})
    assert read_typed(dict[str, float], tmp_path / "scores") == {"0": 1.0, "1": 0.5}
    write_json(tmp_path / "scores", {"0": 1, "1": "0.5"})
    with pytest.raises(HoldfastError, match=r"scores is damaged .*\(1: "):
        read_typed(dict[str, float], tmp_path / "scores")


def test_a_journal_keeps_records(tmp_path: Path) -> None:
    windows = Windows(nll=[1.5, 2.0], tokens=[7, 7])
    journal = Journal(tmp_path / "journal", {"work": 1})
    assert finished(journal, "a", Windows, lambda: windows) == windows
    for again in (journal, Journal(tmp_path / "journal", {"work": 1})):
        assert again.read("a", Windows) == windows
        with pytest.raises(HoldfastError, match="journal, 'a', is damaged"):
            again.read("a", list[float])
        with pytest.raises(HoldfastError, match="journal, 'b', is damaged"):
            again.read("b", Windows)
