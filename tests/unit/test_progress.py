"""Progress: at most one line a minute in a log, whole lines in a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from holdfast import progress
from holdfast.progress import last_line, track


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that only this moves; nothing was reported so far."""
    now = [1000.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(progress, "_outlets", [progress._Outlet(progress._log, 60.0)])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def in_terminal(code: str) -> str:
    """Run Python code with standard error in a terminal of its own; return what that shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # EIO: the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, shown
    return shown.decode()


def test_a_log_gets_a_line_at_once_and_then_one_a_minute(
    wait: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track(range(130), "training"):
        wait(1)
    assert capsys.readouterr().err.splitlines() == [
        "training: 1/130, 1/s, 129 s left",
        "training: 61/130, 1/s, 69 s left",
        "training: 121/130, 1/s, 9 s left",
    ]


def test_many_short_pieces_of_work_share_the_minute(
    wait: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(50):
        for _ in track(range(2), "short"):
            wait(0.5)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_line_names_what_the_work_is_a_part_of(
    wait: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track(["a", "b"], "cells"):
        for _ in track(iter(range(2)), "rows"):
            wait(30)
    assert capsys.readouterr().err.splitlines() == [
        "cells: 0/2; rows: 1 done, 0.0333/s",
        "cells: 1/2, 0.0111/s, 90 s left; rows: 1 done, 0.0333/s",
    ]


def test_work_that_is_left_early_is_forgotten(
    wait: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track(range(3), "left"):
        break
    for _ in track(range(1), "next"):
        wait(1)
    assert capsys.readouterr().err == "next: 1/1, 1/s, 0 s left\n"


def test_the_last_line_of_a_log_is_found_among_others() -> None:
    log = "start\ntraining: 1/130, 1/s, 129 s left\ncells: 0/2; rows: 1 done, 0.03/s\nratio: 1/2\n"
    assert last_line(log) == "cells: 0/2; rows: 1 done, 0.03/s"
    assert last_line("nothing: yet\n") is None


def test_a_terminal_alone_is_told_the_same() -> None:
    shown = in_terminal(
        "from holdfast.progress import track\nfor _ in track(range(1), 'work'): pass"
    )
    assert re.fullmatch(r"work: 1/1, \S+/s, 0 s left\r\n", shown)


def test_a_job_tells_its_terminal_in_whole_lines_that_name_it(tmp_path: object) -> None:
    shown = in_terminal(f"""
from types import SimpleNamespace
from holdfast.jobs.frame import job
from holdfast.progress import track
snakemake = SimpleNamespace(
    threads=1, rule="evaluate_0", wildcards={{"model": "pocket", "arm": "fo"}}, params={{}},
    log=[{str(tmp_path)!r} + "/job.log"], input=[], output=[], resources={{}},
)
with job(snakemake):
    print("to the log")
    for _ in track(range(5), "cells"):
        pass
""")
    assert re.fullmatch(
        r"evaluate_0 \(model=pocket, arm=fo\): cells: 1/5, \S+/s, 0 s left\r\n", shown
    )


def test_a_terminal_that_was_closed_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setattr(progress, "_outlets", [])
    progress.follow(theirs, "job")
    os.close(ours)
    os.close(theirs)
    assert list(track(range(3), "work")) == [0, 1, 2]
