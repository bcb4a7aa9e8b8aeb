"""What a file system refuses (no room, no permission), told in one sentence."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import HoldfastError

MIB = 1 << 20
RUN_AGAIN = "and run again: finished work is kept"
# What happened, and what to do about it.
REFUSALS = {
    errno.ENOSPC: ("the disk is full", f"make room {RUN_AGAIN}"),
    errno.EDQUOT: ("the disk quota is used up", f"make room {RUN_AGAIN}"),
    errno.EROFS: ("the file system is read-only", f"make it writable {RUN_AGAIN}"),
    errno.EACCES: ("permission is denied", f"correct its owner or mode {RUN_AGAIN}"),
    errno.EPERM: ("the operation is not permitted", f"correct its owner or mode {RUN_AGAIN}"),
}
CODE = re.compile(r"\(os error (\d+)\)")  # how libraries written in Rust say it
PART = re.compile(r"\.([^/]+)\.\d+\.part\b")  # a temporary name of holdfast.files.atomic


def refusal(error: BaseException, path: str | Path) -> HoldfastError | None:
    """Return ``error`` in one sentence if the file system caused it, else None.

    The sentence names the file that the system names, or else ``path``, and the space left there.
    """
    cause: BaseException | None = error
    while cause is not None:
        code = _code(cause)
        if code in REFUSALS:
            named = getattr(cause, "filename", None)
            return _sentence(code, named if isinstance(named, str) else str(path))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


@contextmanager
def told(path: str | Path) -> Iterator[None]:
    """Turn what the file system refuses while ``path`` is written into a HoldfastError."""
    try:
        yield
    except HoldfastError:
        raise
    except Exception as error:
        sentence = refusal(error, path)
        if sentence is None:
            raise
        raise sentence from error


def require_writable(folder: str | Path) -> None:
    """Raise HoldfastError when nothing can be written to ``folder``, or where it would be made."""
    nearest = _nearest(Path(folder))
    if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
        raise _sentence(errno.EROFS if read_only else errno.EACCES, str(folder))


def require_room(folder: str | Path, need: int) -> None:
    """Raise HoldfastError when the disk of ``folder`` has less than ``need`` bytes left."""
    free = shutil.disk_usage(_nearest(Path(folder))).free
    if free < need:
        raise HoldfastError(
            f"{folder}: about {need / MIB:.1f} MiB will be written there and {free / MIB:.1f} MiB"
            f" are free; make room {RUN_AGAIN}"
        )


def _code(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    said = CODE.search(str(error))
    return int(said[1]) if said else None


def _sentence(code: int, path: str) -> HoldfastError:
    what, remedy = REFUSALS[code]
    shown = PART.sub(r"\1", path)
    return HoldfastError(f"{shown} cannot be used: {what} ({_free(shown)} MiB free); {remedy}")


def _free(path: str) -> str:
    """Return the free space of the file system that holds ``path``, or would, in MiB."""
    try:
        return f"{shutil.disk_usage(_nearest(Path(path))).free / MIB:.1f}"
    except OSError:
        return "unknown"


def _nearest(path: Path) -> Path:
    """Return ``path``, or the nearest folder above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
