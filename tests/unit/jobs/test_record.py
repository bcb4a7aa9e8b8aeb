"""Records of jobs: who runs, who ended, who was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.jobs.record import (
    KILLED,
    SILENCE_S,
    last_execution,
    record_path,
)

JOB = """
import sys
from types import SimpleNamespace
from holdfast.jobs.frame import job

snakemake = SimpleNamespace(
    threads=1, rule="data", wildcards={}, params={}, log=[sys.argv[1]], input=[], output=[],
    resources={},
)
with job(snakemake):
    print("at work", flush=True)
    {body}
"""


def start(log: Path, body: str) -> subprocess.Popen[bytes]:
    code = JOB.replace("{body}", body)
    return subprocess.Popen([sys.executable, "-c", code, str(log)], stderr=subprocess.DEVNULL)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "job.log"


def test_a_job_that_never_ran_has_no_record(log: Path) -> None:
    assert last_execution(log) is None


def test_a_job_runs_until_it_is_killed(log: Path) -> None:
    process = start(log, "import time; time.sleep(60)")
    try:
        while not log.exists() or "at work" not in log.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        running = last_execution(log)
        assert running is not None
        assert (running.state, running.process) == ("running", process.pid)
    finally:
        process.kill()
        process.wait()
    killed = last_execution(log)
    assert killed is not None
    assert (killed.state, killed.error) == ("failed", KILLED)


def test_how_a_job_ended_is_recorded(log: Path) -> None:
    assert start(log, "pass").wait() == 0
    finished = last_execution(log)
    assert finished is not None
    assert (finished.state, finished.error) == ("finished", None)
    assert finished.ended is not None
    assert finished.ended >= finished.started
    assert start(log, "1 / 0").wait() == 1
    failed = last_execution(log)
    assert failed is not None
    assert (failed.state, failed.error) == ("failed", "ZeroDivisionError: division by zero")


def test_a_job_of_another_machine_lives_as_long_as_it_touches_its_record(log: Path) -> None:
    assert start(log, "pass").wait() == 0
    path = record_path(log)
    other = json.loads(path.read_text()) | {"state": "running", "host": "another", "ended": None}
    path.write_text(json.dumps(other))
    alive = last_execution(log)
    assert alive is not None
    assert alive.state == "running"
    long_ago = time.time() - SILENCE_S - 1
    os.utime(path, (long_ago, long_ago))
    silent = last_execution(log)
    assert silent is not None
    assert silent.state == "failed"
