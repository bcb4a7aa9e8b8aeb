"""What a table or figure is made of: the content of small files, sorted by what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from holdfast.files.atomic import read_jsonl, sha256
from holdfast.results.measured.files import (
    ChosenLayers,
    Cost,
    File,
    Gap,
    History,
    OracleAgreement,
    Summary,
)
from holdfast.results.measured.merged import merged
from holdfast.settings.labels import Labels

F = TypeVar("F", bound=File)


@dataclass(frozen=True)
class Behaviors:
    """The behaviors that were tested: rows with id and category, and their file's SHA-256."""

    rows: Sequence[Mapping[str, Any]]
    sha256: str


@dataclass(frozen=True)
class Inputs:
    """The content of files by what they are, in the order models, arms and judges appear in."""

    summaries: Sequence[Summary] = ()
    costs: Sequence[Cost] = ()
    gaps: Sequence[Gap] = ()
    histories: Sequence[History] = ()
    selections: Sequence[ChosenLayers] = ()
    agreements: Sequence[OracleAgreement] = ()
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

    Raises HoldfastError naming a file that cannot be read, or is not what its name says.
    """
    every = list(paths)

    def all_of(kind: type[F]) -> list[F]:
        mine = [path for path in every if path.name.endswith(kind.name)]
        return [kind.read(path) for path in mine]

    named = [Behaviors(read_jsonl(path), sha256(path)) for path in behaviors]
    return Inputs(
        summaries=merged(all_of(Summary)),
        costs=all_of(Cost),
        gaps=all_of(Gap),
        histories=all_of(History),
        selections=all_of(ChosenLayers),
        agreements=all_of(OracleAgreement),
        behaviors=named[0] if named else None,
    )
