"""The stages of a run: their versions, their data sets, and their settings as parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pydantic import BaseModel

T = TypeVar("T")

# Raise a stage's number whenever its code changes what it writes: Snakemake sees the number as a
# parameter and runs the stage again, which an edit of a library module alone does not cause.
VERSIONS = {
    "pocket": 2,
    "data": 2,
    "model": 1,
    "first_order": 3,
    "smoothed_first_order": 1,
    "zeroth_order": 4,
    "move": 1,
    "factors": 1,
    "layer_scores": 2,
    "selection": 3,
    "gap": 2,
    "quantize": 1,
    "finetune": 1,
    "evaluate": 3,
    "judge": 3,
    "summary": 2,
    "agreement": 2,
    "validation": 2,
    "points": 1,
    "sweep": 3,
    "table": 6,
    "figure": 5,
}
DATASETS = {
    "behaviors": "behaviors",
    "alignment": "pairs",
    "safety": "pairs",
    "benign": "prompts",
    "perplexity": "texts",
    "calibration": "pairs",
}


def params(stage: str, *parts: object) -> str:
    """Return the canonical form of a stage's version and settings, for ``params:``.

    Settings come in the order of their types' fields, whatever their order in the config; only the
    dictionaries that users name the keys of keep theirs, since tables show it. No text in it can
    end a script of Snakemake's report, which holds the parameters of every result.
    """
    return json.dumps([VERSIONS[stage], *map(_dump, parts)]).replace("<", r"\u003c")


def any_of(names: Iterable[str]) -> str:
    """Return a regular expression of ``names``; without any it matches nothing."""
    escaped = "|".join(name.replace(".", r"\.") for name in sorted(names))
    return escaped or "(?!)"


def groups(members: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """Split ``members``, in order, into what one job does: ``size`` of them, or what is left."""
    return [tuple(members[start : start + size]) for start in range(0, len(members), size)]


def _dump(part: object) -> object:
    if isinstance(part, BaseModel):
        # A label is how a thing is shown, not what it is: changing it computes nothing again.
        return part.model_dump(mode="json", by_alias=True, exclude={"label"})
    if isinstance(part, dict):
        return {key: _dump(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_dump(value) for value in part]
    return part
