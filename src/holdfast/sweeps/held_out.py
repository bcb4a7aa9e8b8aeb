"""Validation data: what is left of the sources once training and reported rows are taken out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.data.behaviors import behavior_prompt
from holdfast.data.prepare import Kind, load
from holdfast.data.tables import Row, sample
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_jsonl, write_jsonl
from holdfast.settings.data import DataSource, Validation


@dataclass(frozen=True)
class Taken:
    """Texts that validation must not hold, as ``same`` writes them, and reported identifiers."""

    trained: frozenset[str]
    reported: frozenset[str]
    identifiers: frozenset[str]


def hold_out(
    settings: Validation,
    safety: DataSource,
    *,
    trained: Sequence[Path],
    behaviors: Path,
    benign: Path,
    tasks: Sequence[Path],
    out: Mapping[str, Path],
    data_root: str | Path,
    pocket_folder: str | Path,
    cache_folder: str | Path,
) -> None:
    """Write validation pairs, behaviors and benign prompts, in the form of the run's data sets.

    ``trained`` (pairs), ``behaviors``, ``benign`` and ``tasks`` (documents of local lm-eval tasks)
    are the run's own normalized files: a row whose text is in one of them is dropped, and the log
    says how many were. ``safety`` is the source that pairs come from by default. Without benign
    prompts their file is empty.

    Raises:
        HoldfastError: a source is not as expected, a behavior has the identifier of a reported
            one, or too few rows are left.
    """
    taken = _taken(trained, behaviors, benign, tasks)

    def read(kind: Kind, name: str, source: DataSource, tags: Sequence[str] = ()) -> list[Row]:
        rows: list[Row] = load(
            kind,
            source,
            data_root=data_root,
            pocket_folder=pocket_folder,
            cache_folder=cache_folder,
            exclude_tags=tags,
            setting=f"data.validation.{name}",
        )
        return rows

    rows = read("pairs", "pairs", settings.pairs.source or safety)
    write_jsonl(out["pairs"], _left("pairs", rows, taken, settings.pairs.limit))
    asked = settings.behaviors
    rows = read("behaviors", "behaviors", asked.source, asked.exclude_tags)
    _refuse_reported(rows, taken)
    write_jsonl(out["behaviors"], _left("behaviors", rows, taken, asked.limit))
    rows = []
    if settings.benign:
        rows = read("prompts", "benign", settings.benign.source)
        rows = _left("benign", rows, taken, settings.benign.limit)
    write_jsonl(out["benign"], rows)


def same(text: str) -> str:
    """Return ``text`` without case, spacing and final punctuation: what makes two rows equal."""
    return " ".join(text.casefold().split()).rstrip(".!?")


def _taken(trained: Sequence[Path], behaviors: Path, benign: Path, tasks: Sequence[Path]) -> Taken:
    reported = read_jsonl(behaviors)
    texts = [text for row in reported for text in _texts(row)]
    texts += [row["prompt"] for row in read_jsonl(benign)]
    documents = (row for path in tasks for row in read_jsonl(path))
    texts += [value for row in documents for value in row.values() if isinstance(value, str)]
    return Taken(
        frozenset(same(row["prompt"]) for path in trained for row in read_jsonl(path)),
        frozenset(map(same, texts)),
        frozenset(row["id"] for row in reported),
    )


def _texts(row: Row) -> set[str]:
    """Return what a model is asked; for a behavior, with and without its context."""
    return {row["behavior"], behavior_prompt(row)} if "behavior" in row else {row["prompt"]}


def _refuse_reported(rows: Sequence[Row], taken: Taken) -> None:
    shared = [row["id"] for row in rows if row["id"] in taken.identifiers]
    if shared:
        raise HoldfastError(
            f"data.validation.behaviors: {len(shared)} of its {len(rows)} behaviors are among the"
            f" reported ones of data.behaviors ('{shared[0]}' is the first), so they cannot choose"
            " between points; use AdvBench goals, or leave them out of data.behaviors"
        )


def _left(name: str, rows: Sequence[Row], taken: Taken, limit: int | None) -> list[Row]:
    """Return ``limit`` of the rows that are in nothing taken; tell the log how many were."""
    asked = [set(map(same, _texts(row))) for row in rows]
    trained = [bool(texts & taken.trained) for texts in asked]
    reported = [bool(texts & taken.reported) for texts in asked]
    left = [row for row, *gone in zip(rows, trained, reported, strict=True) if not any(gone)]
    print(
        f"validation {name}: {len(rows)} rows, {sum(trained)} trained on, {sum(reported)} reported,"
        f" {len(left)} left, {min(limit or len(left), len(left))} used",
        file=sys.stderr,
    )
    if not left or (limit is not None and limit > len(left)):
        raise HoldfastError(
            f"data.validation.{name}.limit: {limit or 'all'} rows are asked for, and of the"
            f" {len(rows)} in the source {len(left)} were neither trained on nor are reported;"
            " lower the number or name another source"
        )
    return sample(left, limit, 0, Path(name))
