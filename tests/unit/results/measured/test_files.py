"""The small files that tables are made from are read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json
from holdfast.results.measured.files import Cost, Gap, Summary, content_of
from holdfast.results.measured.inputs import read_inputs
from small_tables import summary


def test_a_summary_comes_back_as_it_was_written(tmp_path: Path) -> None:
    content = summary("fo")
    write_json(tmp_path / "summary.json", content)
    (read,) = read_inputs([tmp_path / "summary.json"]).summaries
    write_json(tmp_path / "again.json", content_of(read))
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "summary.json").read_bytes()


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (summary("fo") | {"schema": 1}, "schema"),
        (summary("fo") | {"seed": "0"}, "seed"),
        (summary("fo") | {"surprise": 1}, "surprise"),
        (without(summary("fo"), "dtype"), "dtype"),
        (summary("fo", cells=[{"perturbation": "none"}]), "cells.0.level"),
        ([summary("fo")], "all of it"),
    ],
)
def test_a_summary_of_another_schema_or_a_damaged_one_is_refused(
    content: Any, where: str, tmp_path: Path
) -> None:
    path = tmp_path / "summary.json"
    write_json(path, content)
    with pytest.raises(HoldfastError) as refused:
        Summary.read(path)
    sentence = str(refused.value)
    assert sentence.startswith(f"{path} is damaged or was made by another release ({where}: ")
    assert sentence.endswith("): delete it and run again")
    assert "\n" not in sentence


@pytest.mark.parametrize("kind", [Cost, Gap])
def test_a_file_that_is_missing_or_of_another_kind_is_named(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / kind.name
    with pytest.raises(HoldfastError, match=f"{kind.name} cannot be read"):
        kind.read(path)
    write_json(path, summary("fo"))
    with pytest.raises(HoldfastError, match=f"{kind.name} is damaged or was made by another"):
        kind.read(path)
