"""What a file is by its content, which its name, date and place do not tell.

Files from outside (checkpoints, data) are replaced in place, copied and touched. Planning and
loading compare their content, so that what was replaced is noticed, whatever its date, and what was
only copied or touched is not. A large file is read once: its digest is kept in the working folder
for as long as its size and its times stay. The time of its last change is one of them, which no
program can set back.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.files.atomic import sha256, write_json

RECORDS = Path(".snakemake", "holdfast", "digests")
LARGE = 1 << 22  # bytes; smaller files are read as fast as a record of them
TOLD = 1 << 30  # bytes whose reading takes long enough to be announced
SETTLED_S = 2.0  # a file may change once more within one tick of its file system's clock
READERS = 4


def digests(files: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of files by path; OSError where one cannot be read."""
    found, unread = {}, []
    for file in files:
        known = _recorded(file)
        if known:
            found[file] = known
        else:
            unread.append(file)
    size = sum(file.stat().st_size for file in unread)
    if size > TOLD:
        where = sorted({str(file.parent) for file in unread})
        print(
            f"reading {size / (1 << 30):.1f} GiB in {', '.join(where)} to know them again, once",
            file=sys.stderr,
            flush=True,
        )
    with ThreadPoolExecutor(READERS) as readers:
        found |= zip(unread, readers.map(_read, unread), strict=True)
    return found


def remember(file: Path, digest: str) -> None:
    """Keep the digest of a large file, which somebody has just compared it with."""
    file = Path(os.path.realpath(file))
    state = _state(file)
    if state["size"] < LARGE or time.time() - state["ctime_ns"] / 1e9 < SETTLED_S:
        return
    with suppress(OSError, HoldfastError):  # read again next time
        write_json(_record(file), state | {"sha256": digest})


def _read(file: Path) -> str:
    before = _state(file)
    digest = sha256(file)
    if _state(file) == before:
        remember(file, digest)
    return digest


def _recorded(file: Path) -> str | None:
    state = _state(file)
    if state["size"] < LARGE:
        return None
    with suppress(OSError, ValueError, TypeError, AttributeError):
        record = json.loads(_record(Path(os.path.realpath(file))).read_text(encoding="utf-8"))
        digest: str = record.pop("sha256", None)
        return digest if record == state else None
    return None


def _state(file: Path) -> dict[str, int]:
    stat = file.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}


def _record(file: Path) -> Path:
    return RECORDS / f"{hashlib.sha256(os.fsencode(file)).hexdigest()}.json"
