"""Planning takes longer with more jobs and with nothing else; `make bench-planning` times it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.planning import config, planned
from holdfast.config import load_settings
from holdfast.config.overlays import laid_over
from holdfast.plan import Plan
from places import CONFIG


def test_a_cell_takes_three_jobs(tmp_path: Path) -> None:
    took = planned(config(300), tmp_path)
    # Cells are evaluated, judged and summed up, 3 arms of two models and seeds are trained, and
    # the rest are data and models.
    assert took.jobs == 3 * 300 + 4 * 3 + 13


@pytest.mark.parametrize("cells", [300, 5000])
def test_rules_do_not_grow_with_arms_and_perturbations(cells: int) -> None:
    """What a file costs to plan grows with the rules that might make it."""
    plan = Plan(load_settings(laid_over(yaml.safe_load(CONFIG.read_text()), config(cells))))
    [job] = [job for job in plan.evaluation.jobs if "arm0" in job.alike]
    assert len(job.alike) == cells // 100
    assert len(job.perturbations) == 25
    assert len(plan.evaluation.jobs) == len(plan.judging.summaries) < 10
