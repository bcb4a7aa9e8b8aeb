"""One process a job: those of a killed Snakemake go on, and meet the next one's at their outputs.

A job locks one file (flock), which the kernel unlocks when the process dies, however it dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # some file servers


@contextmanager
def locked(path: Path, tell: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock file ``path`` during the block; yield whether another process held it before.

    As long as another one holds it, this one waits, and ``tell`` gets a sentence that says for
    whom. Where the file system has no locks, ``tell`` gets one that says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        waited |= _lock(descriptor, path, tell)
        if _is(descriptor, path):
            break
        os.close(descriptor)  # the process that was waited for has removed it
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield waited
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(descriptor: int, path: Path, tell: Callable[[str], None]) -> bool:
    """Lock a file; return whether that took waiting."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        tell(
            f"{holder}, left by a Snakemake that was killed, is still at this work (it holds"
            f" {path}): waiting until it has ended; stop it to go on at once from what it finished"
        )
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        tell(f"{path} cannot be locked ({error.strerror}): take care that no run overlaps another")
        return False


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
