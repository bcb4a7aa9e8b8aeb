"""Rows of a CSV, JSON, JSON lines or Parquet file, under the names used here."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from holdfast.errors import HoldfastError, nearest
from holdfast.files.atomic import read_json, read_jsonl

Row = dict[str, Any]
T = TypeVar("T")


def read_rows(path: str | Path) -> list[Row]:
    """Read a table; bare strings in a JSON list become rows with the one column ``text``.

    Raises HoldfastError for an unknown suffix, an empty or damaged file.
    """
    path = Path(path)
    readers = {".csv": _csv, ".json": read_json, ".jsonl": read_jsonl, ".parquet": _parquet}
    if path.suffix not in readers:
        raise HoldfastError(f"{path}: the file name must end in one of {', '.join(readers)}")
    if path.suffix != ".parquet":
        _check_encoding(path)
    values = readers[path.suffix](path)
    if not isinstance(values, list) or not values:
        raise HoldfastError(f"{path} holds no rows: it must be a table or a list, and not empty")
    rows = [{"text": value} if isinstance(value, str) else value for value in values]
    for number, row in enumerate(rows, start=1):
        _check_row(path, number, row)
    return rows


def select(
    path: Path,
    rows: Sequence[Row],
    names: Mapping[str, Sequence[str]],
    columns: Mapping[str, str],
    optional: Sequence[str] = (),
) -> list[Row]:
    """Return the rows under our names.

    ``names`` gives, for each of our names, the usual names in files; ``columns`` (the setting)
    overrides them. An ``optional`` name that the file lacks is left out. Raises HoldfastError for
    a column that is missing, in the file or in a row.
    """
    for ours in columns:
        if ours not in names:
            raise HoldfastError(
                f"columns: '{ours}' is not one of {', '.join(names)}{nearest(ours, names)}"
            )
    there = list(rows[0])
    theirs = {}
    for ours, usual in names.items():
        wanted = [columns[ours]] if ours in columns else usual
        match = next((name for name in wanted if name in there), None)
        if match is not None:
            theirs[ours] = match
        elif ours in columns or ours not in optional:
            raise HoldfastError(
                f"{path} has no column {' or '.join(wanted)} (it has {', '.join(map(str, there))});"
                f" name the one to use in `columns: {{{ours}: ...}}`"
            )
    return [
        {ours: _value(path, number, row, name) for ours, name in theirs.items()}
        for number, row in enumerate(rows, start=1)
    ]


def first(rows: Sequence[T], limit: int | None, origin: Path) -> list[T]:
    """Return the first ``limit`` rows, or all; HoldfastError when there are fewer than asked."""
    if limit is not None and limit > len(rows):
        raise HoldfastError(
            f"{origin} has {len(rows)} rows to use and {limit} are asked for; lower the number, "
            "or leave it out to use all"
        )
    return list(rows[:limit])


def sample(rows: Sequence[T], limit: int | None, seed: int, origin: Path) -> list[T]:
    """Return ``limit`` rows drawn without replacement by ``seed``, in their order in the file.

    A smaller draw is a subset of a larger one. HoldfastError when there are fewer than asked.
    """
    ranked = sorted(range(len(rows)), key=lambda index: _rank(seed, index))
    return [rows[index] for index in sorted(first(ranked, limit, origin))]


def _rank(seed: int, index: int) -> bytes:
    # A digest, not a generator: the draw is the same in every version of every library.
    return hashlib.sha256(f"{seed}/{index}".encode()).digest()


def _value(path: Path, number: int, row: Row, name: str) -> Any:
    if row.get(name) is None:
        raise HoldfastError(f"{path}, row {number} has no value in column {name}")
    return row[name]


def _check_row(path: Path, number: int, row: object) -> None:
    if not isinstance(row, dict):
        raise HoldfastError(f"{path}: every row must be an object or a string")
    try:
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise HoldfastError(
            f"{path}, row {number} holds half of a surrogate pair, which is no text; take it out"
        ) from None
    except (TypeError, ValueError):
        raise HoldfastError(
            f"{path}, row {number} holds a value that JSON cannot hold; give text and numbers"
        ) from None


def _check_encoding(path: Path) -> None:
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise HoldfastError(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None


def _csv(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = list(reader.fieldnames or ())
            rows: list[Row] = list(reader)
    except csv.Error as error:
        raise HoldfastError(f"{path} is not a valid CSV file ({error})") from None
    doubled = [name for name in header if header.count(name) > 1]
    if doubled:
        raise HoldfastError(f"{path} has more than one column '{doubled[0]}'; rename the others")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise HoldfastError(f"{path}, row {number} has more or fewer cells than the header")
    return rows


def _parquet(path: Path) -> list[Row]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise HoldfastError(
            f"{path} is not a valid Parquet file ({type(error).__name__})"
        ) from None
