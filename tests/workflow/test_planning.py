"""A large run is planned in a minute."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planning import config, planned


def test_5000_cells_in_as_many_jobs_are_planned_within_a_minute(tmp_path: Path) -> None:
    took = planned(config(5000), tmp_path)
    assert took.jobs == 5000 + 3 * 200 + 13  # 200 arms: trained, judged, summed up; data, models
    assert took.cpu < 60  # seconds; other work on the machine does not count
