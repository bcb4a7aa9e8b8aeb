"""A large run is planned in a minute."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planning import config, planned


def test_5000_cells_in_as_many_jobs_are_planned_within_a_minute(tmp_path: Path) -> None:
    took = planned(config(5000), tmp_path)
    # Cells are evaluated, judged and summed up, 200 arms are trained; the rest are data and models.
    assert took.jobs == 3 * 5000 + 200 + 13
    assert took.cpu < 60  # seconds; other work on the machine does not count
