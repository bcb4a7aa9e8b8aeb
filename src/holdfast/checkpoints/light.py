"""Importing a large library without the parts of it that nothing here uses."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let ``packages`` look as if they were not installed to what is imported in this block.

    Those that are imported already stay. Garbage is not collected meanwhile: what an import makes
    lives on, and looking for garbage in it takes a tenth of the time.
    """
    seen = "transformers" in sys.modules  # it asks once what is installed, and remembers
    hidden = [name for name in packages if name not in sys.modules and not seen]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        if collecting:
            gc.enable()
