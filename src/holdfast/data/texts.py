"""Plain texts, benign prompts and documents of local lm-eval tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from holdfast.data.formats import Row, read_rows
from holdfast.data.marks import harmless
from holdfast.data.tables import check_identifiers, first, kept, select, text
from holdfast.errors import HoldfastError


def load_texts(path: Path, columns: Mapping[str, str], limit: int | None = None) -> list[str]:
    """Return the rows of a text: a JSON list of strings, or the column ``text`` of a table."""
    rows = select(path, read_rows(path), {"text": ("text",)}, columns)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row["text"], str):
            raise HoldfastError(f"{path}, row {number} holds no text: {row['text']!r:.60}")
    return [row["text"] for row in first(rows, limit, path)]


def load_prompts(path: Path, columns: Mapping[str, str], limit: int | None = None) -> list[Row]:
    """Return rows ``{"id", "prompt"}``; rows without an identifier column are numbered.

    XSTest's unsafe prompts are left out: a safe model declines them.
    """
    names = {"id": ("id", "BehaviorID"), "prompt": ("prompt", "Behavior", "goal")}
    raw = read_rows(path)
    rows = select(path, raw, names, columns, optional=("id",), kind="prompts")
    prompts = [
        {
            "id": text(path, number, "identifier", row.get("id", f"{path.stem}_{number}")),
            "prompt": text(path, number, "prompt", row["prompt"]),
        }
        for number, row in enumerate(rows, start=1)
    ]
    check_identifiers(path, prompts)
    wanted = [harmless(row) is not False for row in raw]
    return first(kept(path, prompts, wanted, "is no harmless prompt"), limit, path)


def load_documents(path: Path, columns: Mapping[str, str]) -> list[Row]:
    """Return the documents of a local lm-eval task: whole rows, plus the names in ``columns``."""
    rows = read_rows(path)
    names = {ours: (ours,) for ours in columns}
    renamed = select(path, rows, names, columns)
    return [row | extra for row, extra in zip(rows, renamed, strict=True)]
