"""What the fuzz tests share: their settings, paths into nested values, and what an error may be."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from hypothesis import settings

from holdfast.errors import HoldfastError

fuzzed = settings(max_examples=2000, deadline=None, derandomize=True, database=None)


def told_or(call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns, or None where it says in one sentence what is wrong."""
    try:
        return call()
    except HoldfastError as error:
        text = str(error)
    assert 0 < len(text) <= 4000
    assert text.encode("utf-8")
    assert not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Zl", "Zp"}
    return None


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into nested dictionaries and lists but the empty one."""
    inner = list(value.items() if isinstance(value, dict) else [])
    inner += list(enumerate(value) if isinstance(value, list) else [])
    found = [path] if path else []
    return found + [one for key, entry in inner for one in places(entry, (*path, key))]
