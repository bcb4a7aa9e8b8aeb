"""An append-only record of finished pieces of work, so that a killed job goes on where it was."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from holdfast.errors import HoldfastError
from holdfast.files.atomic import as_json, parse_json, write_text
from holdfast.files.refusals import told
from holdfast.files.typed import typed

T = TypeVar("T")


class Journal:
    """A header that says what the work is, then a line a finished piece: checksum, [key, value].

    A journal whose header differs from ``header`` belongs to other work and is started afresh.
    A line torn by a kill or a full disk, or damaged later, is as if it had not been written.
    """

    def __init__(
        self, path: str | Path, header: Mapping[str, object], others: Iterable[Path] = ()
    ) -> None:
        """Take up the journal at ``path``; where there is none, begin with a copy of another's.

        ``others`` are journals that may be of the same work, done for something else.
        """
        self.path = Path(path)
        self._header = json.dumps(header, sort_keys=True)
        if not self.path.exists():
            self._begin_with(others)
        self._entries = self._recover()

    def entries(self) -> dict[str, object]:
        """Return the finished pieces by key."""
        return dict(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def read(self, key: str, kind: type[T]) -> T:
        """Return a finished piece as a ``kind``.

        Raises:
            HoldfastError: it is none, or there is none.
        """
        return typed(kind, self._entries.get(key), f"{self.path}, '{key}',")

    def append(self, key: str, value: object) -> None:
        """Record one finished piece, JSON or a record; it survives a SIGKILL from here on.

        Raises:
            HoldfastError: the piece holds NaN or infinity, which would stay for good; or the file
                system refuses it: no room, read-only, no permission.
        """
        try:
            piece = json.dumps([key, value], default=as_json, allow_nan=False)
        except ValueError:
            raise HoldfastError(
                f"a result is no finite number and is not kept in {self.path} ({key:.60}): if the"
                " model computes in float16, try `dtype: bfloat16` or `float32`"
            ) from None
        with told(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{_checksum(piece)} {piece}\n")
        self._entries[key] = json.loads(piece)[1]

    def _recover(self) -> dict[str, object]:
        """Read what is whole; cut off a torn end, so that the next line does not join it."""
        whole, newline, _ = self._content().rpartition(b"\n")
        header, *lines = whole.decode("utf-8", errors="replace").split("\n")
        if header != self._header:
            write_text(self.path, f"{self._header}\n")
            return {}
        with told(self.path):
            os.truncate(self.path, len(whole + newline))  # never rewritten: a kill loses nothing
        pieces = (line.partition(" ") for line in lines)
        return dict(_finite(piece for given, _, piece in pieces if given == _checksum(piece)))

    def _begin_with(self, others: Iterable[Path]) -> None:
        for other in others:
            text = other.read_text(encoding="utf-8", errors="replace") if other.is_file() else ""
            if text.startswith(f"{self._header}\n"):
                write_text(self.path, text)
                return

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""


def finished(journal: Journal | None, key: str, kind: type[T], compute: Callable[[], T]) -> T:
    """Return a piece of work: from ``journal``, or computed and, where there is one, recorded."""
    if journal is None:
        return compute()
    if key not in journal:
        journal.append(key, compute())
    return journal.read(key, kind)


def _finite(pieces: Iterable[str]) -> Iterator[tuple[str, object]]:
    """Yield the pieces, but for those with NaN or infinity, which earlier releases kept."""
    for piece in pieces:
        with suppress(ValueError):
            key, value = parse_json(piece)
            yield key, value


def _checksum(piece: str) -> str:
    return f"{zlib.crc32(piece.encode()):08x}"
