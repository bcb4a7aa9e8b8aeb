"""Behaviors: HarmBench's and AdvBench's requests, and the prompt made of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from holdfast.data.formats import Row, read_rows
from holdfast.data.marks import harmless
from holdfast.data.tables import check_identifiers, first, kept, select, text
from holdfast.errors import HoldfastError

NAMES = {
    "behavior": ("Behavior", "goal"),
    "id": ("BehaviorID",),
    "context": ("ContextString",),
    "tags": ("Tags",),
    "category": ("SemanticCategory", "Category", "FunctionalCategory"),
}
BLANK = ("context", "tags", "category")


def load_behaviors(
    path: Path,
    columns: Mapping[str, str],
    exclude_tags: Iterable[str] = ("hash_check",),
    limit: int | None = None,
) -> list[Row]:
    """Return rows ``{"id", "behavior", "context", "tags", "category"}`` in file order.

    ``limit`` keeps the first ones of those without an excluded tag.

    Other files than HarmBench's (AdvBench, JailbreakBench, StrongREJECT, XSTest's unsafe prompts,
    one whose column the setting names) may lack identifiers, contexts and tags; their rows are
    numbered. In HarmBench's format, which has a column `Behavior`, these must be there: without
    `Tags` the hash-checked behaviors could not be left out. Raises HoldfastError for missing
    columns, doubled identifiers and a selection that is empty.
    """
    raw = read_rows(path)
    harmbench = columns.get("behavior", "Behavior") == "Behavior" and "goal" not in raw[0]
    optional = ("category",) if harmbench else ("id", *BLANK)
    rows = select(path, raw, NAMES, columns, optional, blank=BLANK, kind="behaviors")
    behaviors = [_behavior(path, number, row) for number, row in enumerate(rows, start=1)]
    check_identifiers(path, behaviors)
    harmful = [harmless(row) is not True for row in raw]
    behaviors = kept(path, behaviors, harmful, "is a prompt that a safe model answers")
    excluded = set(exclude_tags)
    left = [row for row in behaviors if not excluded.intersection(row["tags"])]
    if not left:
        raise HoldfastError(f"{path}: `exclude_tags: {sorted(excluded)}` leaves no behavior")
    return first(left, limit, path)


def behavior_prompt(row: Mapping[str, object]) -> str:
    """Return the user message for a behavior, with its context before it (HarmBench's form)."""
    if row["context"]:
        return f"{row['context']}\n\n---\n\n{row['behavior']}"
    return str(row["behavior"])


def _behavior(path: Path, number: int, row: Row) -> Row:
    tags = row.get("tags", "")
    tags = tags.split(",") if isinstance(tags, str) else tags
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise HoldfastError(f"{path}, row {number} has tags that are no text: {tags!r:.60}")
    context = row.get("context", "")
    blank = isinstance(context, str) and not context.strip()
    return {
        "id": text(path, number, "identifier", row.get("id", f"{path.stem}_{number}")),
        "behavior": text(path, number, "behavior", row["behavior"]),
        "context": "" if blank else text(path, number, "context", context),
        "tags": [tag.strip() for tag in tags if tag.strip()],
        "category": str(row.get("category", "")),
    }
