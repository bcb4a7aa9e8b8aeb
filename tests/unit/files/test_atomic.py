"""Artifacts that are whole or absent, and what their content is known by."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import HoldfastError
from holdfast.files.atomic import (
    atomic_dir,
    atomic_file,
    read_json,
    read_jsonl,
    sha256,
    write_json,
    write_jsonl,
    write_text,
)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def write_half() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        write_half()
    assert read_json(path) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with atomic_dir(folder) as made:
        (made / "x").write_text("old")

    def write_half() -> None:
        with atomic_dir(folder) as made:
            (made / "x").write_text("new")
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        write_half()
    assert (folder / "x").read_text() == "old"


def test_what_a_killed_process_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    stale = tmp_path / ".weights.123.part"
    stale.mkdir()
    (stale / "half").write_text("x")
    with atomic_dir(tmp_path / "weights") as made:
        (made / "x").write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights"]


def test_text_with_lone_surrogates_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x\ud800y")
    assert (tmp_path / "a").read_text() == "x?y"
    write_jsonl(tmp_path / "b", [{"completion": "x\ud800y"}])
    assert read_jsonl(tmp_path / "b") == [{"completion": "x\ud800y"}]


def test_torn_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": ')
    (tmp_path / "b.jsonl").write_text('{"a": 1}\n{"b"')
    with pytest.raises(HoldfastError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(HoldfastError, match=r"b\.jsonl, line 2 is not valid JSON"):
        read_jsonl(tmp_path / "b.jsonl")


def test_hashes_of_folders_see_names_and_contents(tmp_path: Path) -> None:
    for name, content in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(content)
    before = sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "c")
    assert sha256(tmp_path) != before
    with pytest.raises(HoldfastError, match="d is not there"):
        sha256(tmp_path / "d")
