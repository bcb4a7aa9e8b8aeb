"""Rows under the names used here, and which of them are used."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from holdfast.data.conversations import turn
from holdfast.data.formats import Row
from holdfast.data.layouts import RIVALS, Kind, known_names
from holdfast.errors import HoldfastError, nearest
from holdfast.text import tell

T = TypeVar("T")


def select(
    path: Path,
    rows: Sequence[Row],
    names: Mapping[str, Sequence[str]],
    columns: Mapping[str, str],
    optional: Sequence[str] = (),
    *,
    blank: Sequence[str] = (),
    kind: Kind | None = None,
) -> list[Row]:
    """Return the rows under our names.

    ``names`` gives, for each of our names, the usual names in files; ``columns`` (the setting)
    overrides them. An ``optional`` name that the file lacks is left out; one that may be ``blank``
    is empty where a row lacks its value. A file whose columns are those of a public data set of
    the ``kind`` is read as that, unless ``columns`` says anything.

    Raises:
        HoldfastError: a column is missing, in the file or in a row, or could be either of two.
    """
    theirs = matched(path, columns_of(rows), names, columns, optional, kind)
    return [
        {ours: _value(path, number, row, name, ours in blank) for ours, name in theirs.items()}
        for number, row in enumerate(rows, start=1)
    ]


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the columns of all rows, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row))


def matched(
    path: Path,
    given: Sequence[str],
    names: Mapping[str, Sequence[str]],
    columns: Mapping[str, str],
    optional: Sequence[str] = (),
    kind: Kind | None = None,
) -> dict[str, str]:
    """Return which of the ``given`` columns is each of our names; see ``select``."""
    for ours in columns:
        if ours not in names:
            raise HoldfastError(
                f"columns: '{ours}' is not one of {', '.join(names)}{nearest(ours, names)}"
            )
    known = known_names(given, kind) if kind and not columns else {}
    if known:
        return dict(known)
    theirs = {}
    for ours, usual in names.items():
        wanted = [columns[ours]] if ours in columns else usual
        fitting = [name for name in wanted if name in given]
        if fitting and ours not in columns:
            _check_only(path, ours, fitting, given)
        if fitting:
            theirs[ours] = fitting[0]
        elif ours in columns or ours not in optional:
            raise HoldfastError(
                f"{path} has no column {' or '.join(wanted)} (it has {', '.join(map(str, given))});"
                f" name the one to use in `columns: {{{ours}: ...}}`"
            )
    return theirs


def _check_only(path: Path, ours: str, fitting: Sequence[str], given: Sequence[str]) -> None:
    if ours not in RIVALS:  # a label, of which the first fitting one is as good as another
        return
    rivals = [name for name in given if name not in fitting and name.lower() in RIVALS[ours]]
    candidates = [*fitting, *rivals]
    if len(candidates) > 1:
        raise HoldfastError(
            f"{path}: each of the columns {' and '.join(candidates)} may hold the {ours}; name the"
            f" one to use, as in `columns: {{{ours}: {candidates[0]}}}`"
        )


def text(path: Path, number: int, name: str, value: Any) -> str:
    """Return a value as text: a string, a number, or the one user's turn of a conversation.

    Raises:
        HoldfastError: it is empty, or no text.
    """
    value = turn(value, "user")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise HoldfastError(f"{path}, row {number}: its {name} is no text: {value!r:.60}")
    if not str(value).strip():
        raise HoldfastError(
            f"{path}, row {number} has an empty {name}; fill it, or take the row out"
        )
    return str(value)


def check_identifiers(path: Path, rows: Sequence[Row]) -> None:
    """Raise HoldfastError when two rows have one ``id``."""
    doubled = [name for name, count in Counter(row["id"] for row in rows).items() if count > 1]
    if doubled:
        places = [number for number, row in enumerate(rows, start=1) if row["id"] == doubled[0]]
        raise HoldfastError(
            f"{path}: {len(doubled)} identifiers occur more than once, '{doubled[0]}' among them"
            f" (rows {places[0]} and {places[1]}); give every row its own"
        )


def kept(path: Path, rows: Sequence[T], keep: Sequence[bool], why: str) -> list[T]:
    """Return the rows to ``keep`` and say how many are left out, and ``why``.

    Raises:
        HoldfastError: none is left.
    """
    left = [row for row, wanted in zip(rows, keep, strict=True) if wanted]
    if not left:
        raise HoldfastError(f"{path}: every row is left out, since it {why}; take another file")
    if len(left) < len(rows):
        tell(f"{path}: {len(rows) - len(left)} of {len(rows)} rows are left out: each {why}")
    return left


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


def _value(path: Path, number: int, row: Row, name: str, blank: bool) -> Any:
    if row.get(name) is not None:
        return row[name]
    if blank:
        return ""
    raise HoldfastError(
        f"{path}, row {number} has no value in column {name}; fill it, or take the row out"
    )
