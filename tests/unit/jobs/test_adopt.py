"""Copied results: checked by their manifests, and dated so that nothing is made again."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json
from holdfast.files.manifest import write_manifest
from holdfast.jobs.adopt import adopt, disagreeing, tell_of_dates

RUN = Path("results/x")
CHAIN = ("given.json", "results/x/data.json", "results/x/weights", "results/x/m/table.json")
OLD = 1_000_000_000


def make(path: str, read: str, content: object) -> None:
    folder = Path(path).suffix == ""
    write_json(Path(path, "weights.json") if folder else Path(path), content)
    write_manifest([path], [read], "stage", {}, None)


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with results that were copied last things first."""
    monkeypatch.chdir(tmp_path)
    Path(".snakemake/metadata").mkdir(parents=True)
    write_json("given.json", 0)
    write_json("results/x/benchmarks/table.tsv", 0)
    for number, (read, path) in enumerate(itertools.pairwise(CHAIN)):
        make(path, read, number)
        os.utime(path, (OLD - number, OLD - number))
    return tmp_path


def date(path: str) -> float:
    stamp = Path(path, ".snakemake_timestamp")
    return (stamp if stamp.exists() else Path(path)).stat().st_mtime


def test_nothing_is_older_than_its_inputs_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    tell_of_dates(RUN)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("holdfast: 2 finished jobs of results/x would be done again only ")
    assert said.endswith("`holdfast adopt results/x` checks the files and sets that right")
    assert adopt(RUN) == (
        "results/x: 3 artifacts are whole. `snakemake -n` says what is left to do"
    )
    assert date(CHAIN[1]) == date(CHAIN[2]) == date(CHAIN[3]) > OLD
    assert date("results/x/benchmarks/table.tsv") == date(CHAIN[3])
    capsys.readouterr()
    tell_of_dates(RUN)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damaged", ["results/x/data.json", "results/x/weights/weights.json"])
def test_what_is_damaged_is_named_and_nothing_is_dated(damaged: str) -> None:
    write_json(damaged, "other")
    before = [date(path) for path in CHAIN]
    named = "results/x/weights" if "weights" in damaged else damaged
    with pytest.raises(HoldfastError, match=rf"^{named}: not what the manifest beside recorded"):
        adopt(RUN)
    assert [date(path) for path in CHAIN] == before


def test_what_was_made_from_other_inputs_is_left_to_be_made_again() -> None:
    make(CHAIN[2], CHAIN[1], "made again")
    assert disagreeing(RUN) == 0  # its table is older, and rightly so
    said = adopt(RUN)
    assert "3 artifacts are whole; results/x/m/table.json will be made again" in said
    assert date(CHAIN[3]) < OLD < date(CHAIN[2])


def test_a_replaced_file_of_the_users_leaves_its_data_to_be_made_again() -> None:
    write_json("given.json", 1)
    assert "results/x/data.json will be made again" in adopt(RUN)


def test_jobs_that_were_grouped_otherwise_once_say_nothing_now() -> None:
    data = Path("results/x/data.json")
    write_json(data.with_name("a.json"), 7)
    write_manifest([str(data.with_name("a.json")), str(data)], ["given.json"], "once", {}, None)
    write_json(data, 0.5)
    make(str(data), "given.json", 0)
    assert adopt(RUN).startswith("results/x: 4 artifacts are whole. ")


def test_a_missing_record_of_settings_is_told(working: Path) -> None:
    (working / ".snakemake" / "metadata").rmdir()
    assert "settings are taken to be those that it was made with" in adopt(RUN)


def test_results_that_are_a_link_are_adopted_too(working: Path) -> None:
    (working / "results").rename(working / "disk")
    (working / "results").symlink_to(working / "disk")
    assert disagreeing(RUN) == 2
    adopt(RUN)
    assert disagreeing(RUN) == 0


def test_a_module_of_another_workflow_is_found_below_its_prefix(working: Path) -> None:
    (working / "part").mkdir()
    (working / "results").rename(working / "part" / "results")
    assert disagreeing("part" / RUN) == 2


def test_a_folder_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="holds no results with manifests"):
        adopt(tmp_path / "nothing")
