"""Leases of GPUs: several jobs on one machine, of one or several users, each get their own cards.

Snakemake counts GPUs but never says which. A job locks one file a card (flock), and CUDA is shown
these cards only. The kernel drops the locks when the process dies, however it dies. Nothing here
imports torch, which reads CUDA_VISIBLE_DEVICES only once.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import HoldfastError

VISIBLE = "CUDA_VISIBLE_DEVICES"
FOLDER = "HOLDFAST_LEASES"
# All users of a machine must come to the same folder, so neither TMPDIR nor the home will do.
SHARED = ("/run/lock", "/tmp")  # noqa: S108 (files there are opened without following links)
QUERY = ("nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader")
SLURM = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
PAUSE_S = 2.0
REPORT_S = 600.0
_held: list[int] = []  # descriptors, open until the process ends


def lease(count: int) -> list[str]:
    """Take ``count`` cards for this process, for as long as it lives, and show CUDA only these.

    Without cards on the machine nothing is changed, and the job runs on the processors. With
    ``count`` 0 the cards are hidden. What CUDA_VISIBLE_DEVICES lists already is respected: cards
    are taken from among these, and all of them without a lock where SLURM has given just as many.
    A job that finds too few free waits, holding none, and says so on standard error.

    Returns:
        What CUDA_VISIBLE_DEVICES lists now: unique ids where nvidia-smi tells them.

    Raises:
        HoldfastError: there are cards, but fewer than ``count``.
    """
    if count == 0:
        os.environ[VISIBLE] = ""
        return []
    cards = visible_cards()
    if not cards:
        return []
    if len(cards) < count:
        raise HoldfastError(
            f"gpus: {count}, but {len(cards)} can be used here ({', '.join(cards)}): lower gpus or "
            f"show more in {VISIBLE}"
        )
    if len(cards) > count or not any(name in os.environ for name in SLURM):
        cards = take(cards, count)
    os.environ[VISIBLE] = ",".join(cards)
    return cards


def visible_cards() -> list[str]:
    """Return the cards that this process may use, by unique id where nvidia-smi tells it."""
    known = _machine_cards()
    listed = os.environ.get(VISIBLE)
    if listed is None:
        return list(known.values())
    names = [name.strip() for name in listed.split(",")]
    return [known.get(name, name) for name in names if name and name != "-1"]


def take(cards: Sequence[str], count: int) -> list[str]:
    """Wait until ``count`` of ``cards`` are free and lock them, all at once or none."""
    waiting_since, reported = time.monotonic(), -REPORT_S
    while True:
        taken, busy = _try(cards, count)
        if taken:
            return taken
        waited = time.monotonic() - waiting_since
        if waited - reported >= REPORT_S:
            reported = waited
            print(f"waiting for {count} of {len(cards)} GPUs: {'; '.join(busy)}", file=sys.stderr)
            sys.stderr.flush()
        time.sleep(PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 (not in step with others)


def _try(cards: Sequence[str], count: int) -> tuple[list[str], list[str]]:
    """Return the cards taken, or none and why each busy one is busy."""
    taken: dict[str, int] = {}
    busy = []
    gate = _open("gate")
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)  # one looks at a time, so none takes half of what it needs
        for card in cards:
            if len(taken) == count:
                break
            descriptor = _open(f"gpu-{card}")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken[card] = descriptor
            except BlockingIOError:
                busy.append(f"{card} is held by {_holder(descriptor)}")
                os.close(descriptor)
        if len(taken) == count:
            _held.extend(taken.values())
            return list(taken), []
        for descriptor in taken.values():
            os.close(descriptor)
        return [], busy
    finally:
        os.close(gate)


def _machine_cards() -> dict[str, str]:
    """Return {index: unique id} of the machine's cards; empty without cards or driver."""
    try:
        answer = subprocess.run(  # noqa: S603 (a constant)
            QUERY, capture_output=True, text=True, timeout=60, check=True
        )
    except FileNotFoundError:
        return {}
    except (OSError, subprocess.SubprocessError) as error:
        print(f"nvidia-smi tells no GPUs ({error})", file=sys.stderr)
        return {}
    rows = [line.split(",") for line in answer.stdout.splitlines() if "," in line]
    return {index.strip(): name.strip() for index, name in rows}


def _folder() -> Path:
    """Return the folder of the lock files: the same for all users of the machine."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    for name in SHARED:
        folder = Path(name)
        if folder.is_dir() and folder.stat().st_mode & stat.S_IWOTH:
            return folder
    raise HoldfastError(
        f"no folder for the locks of GPUs: set {FOLDER} to one that all users share"
    )


def _open(name: str) -> int:
    """Open a lock file, for reading only: that suffices, and another user may have made it."""
    safe = re.sub(r"[^A-Za-z0-9-]", "_", name)
    path = _folder() / f"holdfast-{safe}.lock"
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            try:
                made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue  # made by another job just now
            os.fchmod(made, 0o644)  # whatever the umask
            return made
        except OSError as error:
            raise HoldfastError(
                f"the lock file {path} cannot be opened: {error.strerror}"
            ) from None


def _holder(descriptor: int) -> str:
    """Name the process that holds a lock, where the system tells it (proc_locks(5))."""
    inode = os.fstat(descriptor).st_ino
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return f"process {fields[4]}"
    return "another process"
