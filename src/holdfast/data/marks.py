"""Marks that public data sets put on their rows: which of them are safe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError

ANSWER_MARK = "is_safe"  # of an answer, as in BeaverTails
TRUTHS = {"true": True, "1": True, "false": False, "0": False}
CONTRAST = "contrast_"  # begins the types of XSTest's unsafe prompts
LABELS = {"safe": True, "unsafe": False}
XSTEST = frozenset({"prompt", "type", "focus", "note"})


def marked_safe(path: Path, number: int, row: Mapping[str, Any]) -> bool:
    """Return whether a row's answer is not marked unsafe; HoldfastError for an unclear mark."""
    if ANSWER_MARK not in row:
        return True
    mark = TRUTHS.get(str(row[ANSWER_MARK]).strip().lower())
    if mark is None:
        raise HoldfastError(
            f"{path}, row {number}: {ANSWER_MARK} is {row[ANSWER_MARK]!r:.40}; give true or false"
        )
    return mark


def harmless(row: Mapping[str, Any]) -> bool | None:
    """Return whether a model should answer a prompt of XSTest; None for rows of other files."""
    if not row.keys() >= XSTEST:
        return None
    label = LABELS.get(str(row.get("label")).strip().lower())
    return not str(row["type"]).startswith(CONTRAST) if label is None else label
