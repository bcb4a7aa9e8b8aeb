"""Journals keep finished pieces, and nothing that is no finite number."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import HoldfastError
from holdfast.files.journal import Journal


@pytest.mark.parametrize("value", [float("nan"), {"nll": [1.0, float("inf")]}])
def test_a_result_that_is_no_finite_number_is_refused_and_not_kept(
    tmp_path: Path, value: object
) -> None:
    journal = Journal(tmp_path / "journal", {"weights": "a"})
    journal.append("whole", 1.0)
    with pytest.raises(HoldfastError, match=r"no finite number .*\(perplexity\).*bfloat16"):
        journal.append("perplexity", value)
    assert "perplexity" not in journal
    assert Journal(tmp_path / "journal", {"weights": "a"}).entries() == {"whole": 1.0}


def test_one_that_an_earlier_release_kept_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path, {}).append("whole", 1.0)
    piece = json.dumps(["perplexity", float("nan")])
    with path.open("a") as file:
        file.write(f"{zlib.crc32(piece.encode()):08x} {piece}\n")
    journal = Journal(path, {})
    assert journal.entries() == {"whole": 1.0}
    journal.append("perplexity", 2.0)
    assert Journal(path, {}).entries() == {"whole": 1.0, "perplexity": 2.0}


@given(st.lists(st.tuples(st.text(max_size=5), st.integers()), max_size=6), st.integers(0, 400))
def test_a_torn_journal_keeps_every_whole_line(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, int]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    journal = Journal(path, {"work": 1})
    for key, value in entries:
        journal.append(key, value)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n") - 1
    expected = dict(entries[: max(lines, 0)])
    assert Journal(path, {"work": 1}).entries() == expected


def test_a_damaged_line_of_a_journal_is_done_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", {"work": 1})
    for key in "abc":
        journal.append(key, "text")
    whole = (tmp_path / "j").read_bytes()
    lines = whole.splitlines(keepends=True)
    place = whole.index(b"text", len(lines[0]) + len(lines[1]))
    (tmp_path / "j").write_bytes(whole[:place] + b"l" + whole[place + 1 :])
    found = Journal(tmp_path / "j", {"work": 1})
    assert found.entries() == {"a": "text", "c": "text"}
    found.append("b", "text")
    assert Journal(tmp_path / "j", {"work": 1}).entries() == dict.fromkeys("acb", "text")


def test_the_journal_of_other_work_is_started_afresh(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", {"work": 1})
    journal.append("a", 1)
    assert "a" in Journal(tmp_path / "j", {"work": 1})
    assert Journal(tmp_path / "j", {"work": 2}).entries() == {}


def test_a_killed_process_keeps_what_it_journalled(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from holdfast.files.journal import Journal\n"
        "journal = Journal(sys.argv[1], {})\n"
        "journal.append('a', 1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "j"
    run = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert Journal(path, {}).entries() == {"a": 1}
