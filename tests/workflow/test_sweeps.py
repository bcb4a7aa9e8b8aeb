"""The jobs of a sweep, and that nothing else asks for them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


def dry_run(folder: Path, *arguments: str) -> Counter[str]:
    command = [SNAKEMAKE, "-n", "--directory", str(folder), *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE)
    return Counter({rule: int(count) for rule, count in rows if rule != "total"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config").symlink_to(ROOT / "config")
    return tmp_path


def test_a_sweep_makes_its_points_and_evaluates_no_arm(folder: Path) -> None:
    assert dry_run(folder, "sweep_zo_robust") == {
        "pocket_world": 1,
        "data": 6,  # alignment, safety, calibration, behaviors, benign, an lm-eval task
        "base_model": 1,
        "first_order": 1,
        "layer_scores": 2,
        "selection": 1,
        "zeroth_order": 4,  # zo_robust itself and the three other points
        "validation": 1,
        "points_zo_robust_0": 1,
        "sweep": 1,
        "sweep_zo_robust": 1,
    }


def test_all_sweeps_are_one_target(folder: Path) -> None:
    overlay = folder / "more.yaml"
    overlay.write_text("arms: {fo: {sweep: {momentum: [0, 0.5]}}}")
    jobs = dry_run(folder, "sweeps", "--configfile", str(overlay))
    assert (jobs["sweep"], jobs["first_order"], jobs["zeroth_order"]) == (2, 2, 4)


def test_the_default_run_is_the_same_with_and_without_sweeps(folder: Path) -> None:
    overlay = folder / "without.yaml"
    overlay.write_text("arms: {zo_robust: {sweep: null}}\ndata: {validation: null}")
    plain = dry_run(folder, "--configfile", str(overlay))
    assert dry_run(folder) == plain
    assert not {"sweep", "validation"} & set(plain)
    assert not [rule for rule in plain if rule.startswith("points_")]
