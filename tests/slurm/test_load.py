"""Many small jobs at once: all are done, none is lost or done twice."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planning import through_slurm
from cluster import Cluster


def test_more_jobs_than_cpus_are_each_done_once(slurm: Cluster, tmp_path: Path) -> None:
    took = through_slurm(20, tmp_path, slurm.environment)
    assert took.jobs == 21  # and the target
