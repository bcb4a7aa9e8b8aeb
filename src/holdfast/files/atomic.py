"""Atomic writes: a file or folder is there whole, or not at all."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from holdfast.errors import HoldfastError
from holdfast.files.refusals import told

SNAKEMAKE_TIMESTAMP = ".snakemake_timestamp"  # put into a folder after it was made


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it into place when the block succeeds.

    Raises:
        HoldfastError: the file system refuses it: no room, read-only, no permission.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; rename it over ``path`` when the block succeeds.

    What a killed process left of the same folder, which may be gigabytes, is removed first.

    Raises:
        HoldfastError: the file system refuses it: no room, read-only, no permission.
    """
    path = Path(path)
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with told(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            replace_dir(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_dir(whole: Path, path: Path) -> None:
    """Rename the folder ``whole`` to ``path``, in the place of what is there.

    Where that lies on another disk, as an arm may, it is copied.
    """
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():  # to another disk; what is there is not ours to delete
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        try:
            whole.replace(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with atomic_dir(path) as made:
                shutil.copytree(whole, made, dirs_exist_ok=True)
            shutil.rmtree(whole)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8; lone surrogates (model text may hold them) become ``?``."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def write_json(path: str | Path, value: object) -> None:
    """Write ``value`` canonically: sorted keys, one-space indent, no NaN."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False, default=as_json)
    write_text(path, f"{text}\n")


def as_json(value: object) -> object:
    """Return what ``json.dumps`` writes of a record; its argument ``default``."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    raise TypeError(f"a {type(value).__name__} is no JSON")


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises ValueError for text that is no JSON, for numbers that are not finite or have thousands of
    digits, and for values nested too deeply to be read.
    """
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def read_json(path: str | Path, *, outside: str = "") -> Any:
    """Read a JSON file; raise HoldfastError naming the file when it is missing or no JSON.

    ``outside`` says what to do about a file that the run did not make: never to delete it.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        advice = outside or "delete it and run again"
        raise HoldfastError(f"{path} is not valid JSON ({error}): {advice}") from None
    except OSError as error:
        advice = outside or "run its stage again"
        raise HoldfastError(f"{path} cannot be read ({error.strerror}): {advice}") from None


def write_jsonl(path: str | Path, rows: Iterable[object]) -> None:
    """Write one canonical JSON value a line."""
    lines = (
        json.dumps(row, sort_keys=True, allow_nan=False, default=as_json) + "\n" for row in rows
    )
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def read_jsonl(path: str | Path) -> list[Any]:
    """Read one JSON value a line; raise HoldfastError naming file and line on a bad one."""
    rows: list[Any] = []
    try:
        with Path(path).open(encoding="utf-8") as file:
            for line in file:
                rows.append(parse_json(line))
    except ValueError as error:
        where = f"{path}, line {len(rows) + 1}"
        raise HoldfastError(f"{where} is not valid JSON ({error})") from None
    except OSError as error:
        raise HoldfastError(
            f"{path} cannot be read ({error.strerror}): run its stage again"
        ) from None
    return rows


def members(folder: Path) -> list[Path]:
    """Return the files below a folder, in order; a folder that is a link is gone into."""
    found = os.walk(folder, followlinks=True)
    paths = (Path(root, name) for root, _, names in found for name in names)
    return sorted(path for path in paths if path.is_file())


def sha256(path: str | Path) -> str:
    """Return the hex digest of a file, or of a folder's file names and contents.

    Raises:
        HoldfastError: there is neither.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        raise HoldfastError(f"{path} is not there: run what makes it again")
    digest = hashlib.sha256()
    for member in members(path):
        if member.name == SNAKEMAKE_TIMESTAMP:
            continue
        digest.update(f"{member.relative_to(path)}\0{sha256(member)}\n".encode())
    return digest.hexdigest()
