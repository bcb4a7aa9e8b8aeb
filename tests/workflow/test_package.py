"""Holdfast without a checkout: what a wheel carries, and `holdfast run` in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from dry_runs import snakemake
from holdfast.commands.run import target_names
from holdfast.config.load import load_files
from holdfast.files.manifest import versions
from places import CONFIG, ROOT

CARRIED = ("Snakefile", "config", "envs", "profiles", "published", "workflow")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, which nothing may write to."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    return site


def holdfast(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "holdfast", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def jobs(run: subprocess.CompletedProcess[str]) -> Counter[str]:
    assert run.returncode == 0, run.stdout + run.stderr
    rows = re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE)
    return Counter({rule: int(count) for rule, count in rows})


def files_below(*places: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place.parent)): path.read_bytes()
        for place in places
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_has_a_name_of_its_own(installed: Path) -> None:
    (about,) = installed.glob("*.dist-info/METADATA")
    head = about.read_text().splitlines()
    assert "Name: holdfast-safety" in head
    assert f"Version: {versions()['holdfast']}" in head
    (commands,) = installed.glob("*.dist-info/entry_points.txt")
    assert "holdfast = holdfast.__main__:main" in commands.read_text()


def test_the_wheel_carries_what_a_run_needs(installed: Path) -> None:
    carried = files_below(*(ROOT / name for name in CARRIED))
    project = installed / "holdfast" / "_project"
    assert files_below(*(project / name for name in CARRIED)) == carried
    package = files_below(ROOT / "src" / "holdfast")
    assert {path for path in package if not (installed / path).is_file()} == set()


def test_a_run_in_an_empty_folder_is_that_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    before = files_below(installed)
    planned = jobs(holdfast(installed, tmp_path, "run", "table2", "--", "-n"))
    assert planned["evaluate_0"]
    assert planned == jobs(snakemake("-n", "--directory", str(tmp_path), "table2"))
    assert {path.name for path in tmp_path.iterdir()} <= {".snakemake"}
    made = holdfast(installed, tmp_path, "run", "results/pocket/world")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "results" / "pocket" / "world" / "behaviors.csv").is_file()
    assert files_below(installed) == before


def test_a_shipped_config_is_known_by_its_name(installed: Path, tmp_path: Path) -> None:
    planned = jobs(holdfast(installed, tmp_path, "run", "paper", "table3", "--", "-n"))
    assert planned["zeroth_order"] == 2  # of Llama: all layers, and robust ones
    checked = holdfast(installed, tmp_path, "preflight")
    assert "'pocket' is ready to run." in checked.stdout, checked.stderr


def test_the_config_to_start_from_can_be_planned(installed: Path, tmp_path: Path) -> None:
    assert holdfast(installed, tmp_path, "init").returncode == 0
    planned = jobs(holdfast(installed, tmp_path, "run", "mine.yaml", "--", "-n"))
    assert set(planned) == {
        *("base_model", "judge_model", "data", "evaluate_0", "judge_0", "summary_0"),
        *("table", "all", "total"),
    }
    assert planned["table"] == planned["evaluate_0"] == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "tabel2"], "or a file); did you mean 'table2'?"),
        (["run", "none.yaml"], "no config file none.yaml"),
        (["run", "bad.yaml", "--", "-n"], "seeds.0"),
    ],
)
def test_a_mistake_is_one_sentence(
    installed: Path, tmp_path: Path, words: list[str], complaint: str
) -> None:
    (tmp_path / "bad.yaml").write_text("seeds: [-1]\n")
    run = holdfast(installed, tmp_path, *words)
    assert run.returncode == 1
    assert run.stdout == ""
    (sentence,) = run.stderr.splitlines()
    assert sentence.startswith("holdfast: ")
    assert complaint in sentence


def test_targets_are_those_that_the_rules_have(tmp_path: Path) -> None:
    listed = snakemake("--list-target-rules", "--directory", str(tmp_path))
    assert listed.returncode == 0, listed.stderr
    known = set(target_names(load_files([CONFIG])))
    assert known <= set(listed.stdout.split())
