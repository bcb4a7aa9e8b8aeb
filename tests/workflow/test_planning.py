"""A large run is planned in a minute."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planning import config, planned


def test_5000_jobs_of_1700_cells_are_planned_within_a_minute(tmp_path: Path) -> None:
    took = planned(config(1700), tmp_path)
    # Cells are evaluated, judged and summed up, 17 arms of two models and seeds are trained, and
    # the rest are data and models.
    assert took.jobs == 3 * 1700 + 4 * 17 + 13
    assert took.cpu < 60  # seconds; other work on the machine does not count
