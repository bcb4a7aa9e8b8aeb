"""What a table or figure is made of: the content of small files, sorted by what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.files.atomic import read_json, read_jsonl, sha256
from holdfast.settings.labels import Labels

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Behaviors:
    """The behaviors that were tested: rows with id and category, and their file's SHA-256."""

    rows: Sequence[Mapping[str, Any]]
    sha256: str


@dataclass(frozen=True)
class Inputs:
    """The content of files by what they are, in the order models, arms and judges appear in."""

    summaries: Sequence[Content] = ()
    costs: Sequence[Content] = ()
    gaps: Sequence[Content] = ()
    histories: Sequence[Content] = ()
    selections: Sequence[Content] = ()
    agreements: Sequence[Content] = ()
    behaviors: Behaviors | None = None


@dataclass(frozen=True)
class Context:
    """What the run adds: labels, and whether a model shown is random or untrained.

    Summaries also say so themselves.
    """

    labels: Labels = field(default_factory=Labels)
    meaningless: bool = False


def read_inputs(paths: Iterable[Path], behaviors: Iterable[Path] = ()) -> Inputs:
    """Read a table's or figure's files; ``behaviors``: that of the behaviors, where it names them.

    Raises HoldfastError naming a file that cannot be read.
    """
    contents: dict[str, list[Content]] = {}
    for path in paths:
        contents.setdefault(path.name.split(".")[-2], []).append(read_json(path))
    named = [Behaviors(read_jsonl(path), sha256(path)) for path in behaviors]
    return Inputs(
        summaries=contents.get("summary", ()),
        costs=contents.get("cost", ()),
        gaps=contents.get("gap", ()),
        histories=contents.get("history", ()),
        selections=contents.get("selection", ()),
        agreements=contents.get("agreement", ()),
        behaviors=named[0] if named else None,
    )
