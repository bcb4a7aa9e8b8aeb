"""A job that another process is still at waits for it, and does again only what is not done."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frames import FRAME
from holdfast.files.atomic import write_json
from holdfast.jobs.lock import locked

LOCK = Path("logs") / ".job.log.lock"
# Counts how often it is run, and takes as long as there is a file `hold`.
SLOW = """
    import time
    with (folder / 'runs').open('a') as runs:
        runs.write('x')
    while (folder / 'hold').exists():
        time.sleep(0.01)
    (folder / 'out.json').write_text('done')
"""


def start(folder: Path, body: str = SLOW) -> subprocess.Popen[str]:
    code = FRAME.replace("{body}", body.strip())
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    for _ in range(6000):
        if path.exists() and path.read_bytes():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


@pytest.fixture
def first(tmp_path: Path) -> subprocess.Popen[str]:
    """A job that is at its work."""
    write_json(tmp_path / "in.json", {"x": 1})
    (tmp_path / "hold").touch()
    process = start(tmp_path)
    wait_for(tmp_path / "runs")
    return process


def told(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    return process.stderr.readline()


def test_a_second_job_waits_and_takes_over_what_the_first_has_done(
    first: subprocess.Popen[str], tmp_path: Path
) -> None:
    second = start(tmp_path)
    sentence = told(second)
    assert f"holdfast: process {first.pid} on " in sentence
    assert "is still at this work" in sentence
    (tmp_path / "hold").unlink()
    assert (first.wait(), second.wait()) == (0, 0)
    assert (tmp_path / "runs").read_text() == "x"
    assert (tmp_path / "out.json").read_text() == "done"
    assert not (tmp_path / LOCK).exists()


def test_a_second_job_works_when_the_first_is_killed(
    first: subprocess.Popen[str], tmp_path: Path
) -> None:
    second = start(tmp_path)
    told(second)
    first.send_signal(signal.SIGKILL)
    (tmp_path / "hold").unlink()
    assert (first.wait(), second.wait()) == (-signal.SIGKILL, 0)
    assert (tmp_path / "runs").read_text() == "xx"
    assert (tmp_path / "out.json").read_text() == "done"


def test_a_lock_file_that_a_killed_process_left_is_free(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("process 1 on elsewhere")
    sentences: list[str] = []
    with locked(tmp_path / "lock", sentences.append) as waited:
        assert not waited
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")
    assert sentences == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    sentences: list[str] = []
    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path / "lock", sentences.append) as waited:
        assert not waited
    assert "lock cannot be locked (No locks available)" in sentences[0]
