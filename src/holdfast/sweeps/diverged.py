"""Points of a sweep that diverged: a mark in the place of their weights."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import Diverged
from holdfast.files.atomic import atomic_dir, read_json, write_json

MARK = "diverged.json"


@contextmanager
def marked(weights: Path, scratch: Path, *, arm: str, point: bool) -> Iterator[None]:
    """Make a point in this block; where that diverges, say so in the folder ``weights`` instead.

    What other points show does not depend on it, so its sweep goes on. An arm that is no
    point raises Diverged, with the entry of the config that holds the settings it names.
    """
    try:
        yield
    except Diverged as error:
        if not point:
            raise Diverged(f"arms.{arm}: {error}") from None
        print(f"this point diverged: {error}", file=sys.stderr)
        with atomic_dir(weights) as made:
            write_json(made / MARK, {"said": str(error)})
        shutil.rmtree(scratch, ignore_errors=True)


def require_weights(folder: Path) -> None:
    """Raise Diverged, with what was said then, where ``folder`` holds the mark."""
    if (folder / MARK).exists():
        raise Diverged(read_json(folder / MARK)["said"])
