"""An arm, or all results, may be linked to another disk."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from holdfast.files.atomic import atomic_dir, replace_dir, sha256, write_json
from holdfast.jobs.status import status


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    write_json(folder / "arm.json", 1)
    write_json(folder / "checkpoint" / "config.json", 2)
    return folder


def linked(folder: Path, disk: Path) -> None:
    shutil.move(folder, disk)
    folder.symlink_to(disk)


@pytest.mark.parametrize("part", [".", "checkpoint", "checkpoint/config.json"])
def test_a_linked_part_has_the_hash_that_it_had(weights: Path, tmp_path: Path, part: str) -> None:
    before = sha256(weights)
    linked(weights / part, tmp_path / "disk")
    assert sha256(weights) == before


def test_what_is_made_in_the_place_of_a_link_leaves_alone_where_it_led(
    weights: Path, tmp_path: Path
) -> None:
    linked(weights, tmp_path / "disk")
    with atomic_dir(weights) as made:
        write_json(made / "new.json", 3)
    assert [path.name for path in weights.iterdir()] == ["new.json"]
    assert (tmp_path / "disk" / "arm.json").exists()


def test_a_folder_comes_to_another_disk_whole(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, before = Path.replace, sha256(weights)

    def within_a_disk(path: Path, target: Path) -> Path:
        if path.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", within_a_disk)
    write_json(tmp_path / "disk" / "quantized" / "old.json", 0)
    replace_dir(weights, tmp_path / "disk" / "quantized")
    assert sha256(tmp_path / "disk" / "quantized") == before
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["quantized"]
    assert not weights.exists()


def test_status_of_linked_results_finds_the_files_of_the_run(tmp_path: Path) -> None:
    results = tmp_path / "results" / "x"
    job = {"rule": "table", "wildcards": {}, "log": "results/x/logs/t.log", "cells": 0}
    run = {"started": 0.0, "jobs": [job | {"outputs": ["results/x/t.csv"], "needed": False}]}
    write_json(results / "logs" / "run.json", run)
    write_json(results / "t.csv", 1)
    before = status(results)
    linked(tmp_path / "results", tmp_path / "disk" / "of" / "results")
    assert status(results) == before
