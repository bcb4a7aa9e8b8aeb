"""Behaviors: HarmBench's and AdvBench's requests, and the prompt made of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from holdfast.data.tables import Row, first, read_rows, select
from holdfast.errors import HoldfastError

HARMBENCH = {
    "id": ("BehaviorID",),
    "behavior": ("Behavior",),
    "context": ("ContextString",),
    "tags": ("Tags",),
    "category": ("SemanticCategory", "Category", "FunctionalCategory"),
}
ADVBENCH = HARMBENCH | {"behavior": ("goal",)}


def load_behaviors(
    path: Path,
    columns: Mapping[str, str],
    exclude_tags: Iterable[str] = ("hash_check",),
    limit: int | None = None,
) -> list[Row]:
    """Return rows ``{"id", "behavior", "context", "tags", "category"}`` in file order.

    ``limit`` keeps the first ones of those without an excluded tag.

    A table with the columns ``goal, target`` (llm-attacks' AdvBench file) has no identifiers,
    contexts or tags; its rows are numbered. In HarmBench's format those columns must be there:
    without `Tags` the hash-checked behaviors could not be left out. Raises HoldfastError for
    missing columns, doubled identifiers and a selection that is empty.
    """
    raw = read_rows(path)
    if "goal" in raw[0]:
        rows = select(path, raw, ADVBENCH, columns, ("id", "context", "tags", "category"))
    else:
        rows = select(path, raw, HARMBENCH, columns, ("category",))
    behaviors = [_behavior(path, number, row) for number, row in enumerate(rows, start=1)]
    _check_identifiers(path, behaviors)
    excluded = set(exclude_tags)
    kept = [row for row in behaviors if not excluded.intersection(row["tags"])]
    if not kept:
        raise HoldfastError(f"{path}: `exclude_tags: {sorted(excluded)}` leaves no behavior")
    return first(kept, limit, path)


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
    if not str(row["behavior"]).strip():
        raise HoldfastError(f"{path}, row {number} has an empty behavior")
    return {
        "id": str(row.get("id", f"{path.stem}_{number}")),
        "behavior": str(row["behavior"]),
        "context": str(row.get("context", "")),
        "tags": [tag.strip() for tag in tags if tag.strip()],
        "category": str(row.get("category", "")),
    }


def _check_identifiers(path: Path, behaviors: list[Row]) -> None:
    doubled = [name for name, count in Counter(row["id"] for row in behaviors).items() if count > 1]
    if doubled:
        raise HoldfastError(
            f"{path}: {len(doubled)} identifiers occur more than once, '{doubled[0]}' among them"
        )
