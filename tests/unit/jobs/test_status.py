"""What `holdfast status` says of a run, from records alone."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json
from holdfast.jobs.record import record_path
from holdfast.jobs.status import status

START = 1000.0


def entry(name: str, **other: Any) -> dict[str, Any]:
    made = {"rule": "evaluate_3", "wildcards": {"arm": name}, "outputs": [f"{name}.json"]}
    return made | {"log": f"results/run/logs/{name}.log", "cells": 4, "needed": True} | other


def record(root: Path, name: str, **other: Any) -> None:
    made = {"state": "finished", "started": START + 1, "ended": START + 2, "slurm_job": None}
    made |= {"host": socket.gethostname(), "process": os.getpid(), "error": None} | other
    write_json(record_path(root / f"results/run/logs/{name}.log"), made)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a job in every state."""
    jobs = [entry(name) for name in ("done", "lost", "runs", "waits", "broken", "again")]
    jobs.append(entry("kept", needed=False))
    jobs.append(entry("rows", rule="data", cells=0))
    write_json(tmp_path / "results/run/logs/run.json", {"started": START, "jobs": jobs})
    for name in ("done", "rows"):
        record(tmp_path, name)
        (tmp_path / f"{name}.json").touch()
    record(tmp_path, "lost")  # its output was deleted since
    record(tmp_path, "again", state="failed", started=START - 9, error="of the run before")
    record(tmp_path, "broken", state="failed", error="beta: \x1b[31mtoo large\nand more")
    there = {"host": "another", "slurm_job": "17", "started": time.time() - 120}
    record(tmp_path, "runs", state="running", **there)
    log = tmp_path / "results/run/logs/runs.log"
    log.write_text("cells: 1/9, 0.1/s, 80 s left\nsomething else\n")
    return tmp_path / "results" / "run"


def test_jobs_and_cells_are_counted_by_state(run: Path) -> None:
    head, _, states, data, evaluations, _, jobs, cells = status(run).splitlines()[:8]
    assert head.startswith(f"{run}: the run started at 1970-01-01 ")
    assert states.split() == ["finished", "running", "waiting", "failed"]
    assert data.split() == ["data", "1", "-", "-", "-"]
    assert evaluations.split() == ["evaluate", "2", "1", "3", "1"]
    assert jobs.split() == ["jobs", "3", "1", "3", "1"]
    assert cells.split() == ["cells", "8", "4", "12", "4"]


def test_running_and_failed_jobs_name_the_log_to_read(run: Path) -> None:
    text = status(run)
    assert text.endswith("""
Running
  evaluate_3 (arm=runs): SLURM job 17, 2 min; cells: 1/9, 0.1/s, 80 s left
    results/run/logs/runs.log

Failed
  evaluate_3 (arm=broken): beta: ?[31mtoo large
    results/run/logs/broken.log""")


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="has no run to tell of"):
        status(tmp_path)
