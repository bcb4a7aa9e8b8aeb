"""Records of jobs, beside their logs: which run, and how the others ended.

A job locks its log (flock). The kernel drops the lock when the process dies, however it dies, so a
job of this machine that holds none is over. A job of another machine, where locks may not be seen
over the network, shows that it is alive by touching its record.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.text import mask

BEAT_S = 30.0
SILENCE_S = 300.0  # longer than a network file system keeps what it knows of a file
KILLED = "it ended without a word: it was killed, or its machine went down"


@dataclass(frozen=True)
class Execution:
    """One execution of a job; times in seconds since the epoch."""

    state: Literal["running", "finished", "failed"]
    started: float
    ended: float | None
    host: str
    process: int
    slurm_job: str | None
    error: str | None


@contextmanager
def recorded(log: Path) -> Iterator[None]:
    """Keep the record of the job that runs in this block, and whose standard error is ``log``."""
    path = record_path(log)
    execution = Execution(
        state="running",
        started=time.time(),
        ended=None,
        host=socket.gethostname(),
        process=os.getpid(),
        slurm_job=os.environ.get("SLURM_JOB_ID"),
        error=None,
    )
    with suppress(OSError):  # a file system without locks
        fcntl.flock(2, fcntl.LOCK_SH)
    write_json(path, asdict(execution))
    over = threading.Event()
    threading.Thread(target=_beat, args=(path, over), daemon=True).start()
    try:
        yield
    except BaseException as error:
        over.set()
        done = isinstance(error, SystemExit) and not error.code
        _end(path, execution, None if done else _sentence(error))
        raise
    over.set()
    _end(path, execution)


def _end(path: Path, execution: Execution, error: str | None = None) -> None:
    state: Literal["finished", "failed"] = "failed" if error else "finished"
    with suppress(OSError, HoldfastError):  # a full disk is no second failure
        write_json(path, asdict(replace(execution, state=state, ended=time.time(), error=error)))


def _sentence(error: BaseException) -> str:
    if isinstance(error, HoldfastError):
        return str(error)
    return mask("".join(traceback.format_exception_only(error)).strip())


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_S):
        with suppress(OSError):
            os.utime(path)


def job_name(rule: str, wildcards: dict[str, str]) -> str:
    """Return what a job is called where several are told apart."""
    if not wildcards:
        return rule
    return f"{rule} ({', '.join(f'{name}={value}' for name, value in wildcards.items())})"


def record_path(log: Path) -> Path:
    """Return where the record of the job with this log lies."""
    return log.with_name(f"{log.stem}.state.json")


def last_execution(log: Path) -> Execution | None:
    """Return that of the job which wrote ``log`` last, as failed where it was killed."""
    path = record_path(log)
    if not path.exists():
        return None
    execution, touched = Execution(**read_json(path)), path.stat().st_mtime
    if execution.state != "running" or _locked(log):
        return execution
    if execution.host != socket.gethostname() and time.time() - touched < SILENCE_S:
        return execution
    return replace(execution, state="failed", error=KILLED)


def _locked(log: Path) -> bool:
    try:
        with log.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
