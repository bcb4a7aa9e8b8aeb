"""One judge reads completions, of some arms under some perturbations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.data.outputs import CompletionRow
from holdfast.errors import HoldfastError
from holdfast.files.atomic import sha256, write_jsonl
from holdfast.files.journal import Journal
from holdfast.files.typed import read_rows
from holdfast.judges.verdict import (
    Given,
    Item,
    Reader,
    Verdict,
    VerdictRow,
    WrittenVerdict,
)
from holdfast.progress import track
from holdfast.settings.judges import Judge
from holdfast.settings.kinds import module_of
from holdfast.text import encodable

Row = dict[str, Any]
NOTHING = Given()
ASKED = "asked"  # key of the journal's list of what the model was last given, by digest


class Completions(NamedTuple):
    """Rows of a completions.jsonl, what the arm was put under, and where the verdicts go."""

    perturbation: str
    rows: Iterable[CompletionRow]
    out_path: str | Path

    @classmethod
    def read(cls, perturbation: str, path: str | Path, out_path: str | Path) -> Completions:
        """Read them from the file ``path``."""
        return cls(perturbation, read_rows(CompletionRow, path), out_path)


def judge_completions(
    settings: Judge,
    given: Given = NOTHING,
    *,
    behaviors: Sequence[Row],
    completions: Sequence[Completions],
    journal_path: str | Path,
) -> None:
    """Write the verdicts on some files of completions, a file of verdicts each.

    Only rows of the set ``behaviors`` are judged, equal completions of a behavior once.
    ``journal_path`` keeps every verdict by what was judged: of a job that was killed, and of all
    runs before with the same judge, so that one more level or behavior is all that is judged.
    Rows are sorted by level, draw and the behavior's place in ``behaviors``.

    Raises HoldfastError for a completion of an unknown behavior.
    """
    files = sorted(completions, key=lambda file: file.perturbation)
    rows = [_rows(behaviors, file) for file in files]
    encodable_behaviors = {r["id"]: r | _encodable(r, "behavior", "context") for r in behaviors}
    items = [[Item(encodable_behaviors[row.id], row.completion) for row in part] for part in rows]
    header = {"judge": settings.model_dump(mode="json", exclude={"label"}), **given.identity}
    if given.template is not None:
        header["template"] = sha256(given.template)
    every = itertools.chain.from_iterable(items)
    verdicts = _verdicts(settings, every, Journal(journal_path, header), given)
    for file, own_rows, own_items in zip(files, rows, items, strict=True):
        write_jsonl(
            file.out_path,
            (
                VerdictRow(
                    perturbation=file.perturbation,
                    level=row.level,
                    draw=row.draw,
                    id=row.id,
                    **asdict(verdicts[item.digest]),
                )
                for row, item in zip(own_rows, own_items, strict=True)
            ),
        )


def judge_of(settings: Judge, given: Given) -> Reader:
    """Return the judge that ``settings`` describe, its model loaded.

    Raises:
        HoldfastError: ``holdfast.judges`` has no module of that kind.
    """
    judge: Reader = module_of("holdfast.judges", settings.kind).judge_of(settings, given)
    return judge


def _rows(behaviors: Sequence[Row], file: Completions) -> list[CompletionRow]:
    places = {row["id"]: place for place, row in enumerate(behaviors)}
    rows = [
        row.model_copy(update={"completion": encodable(row.completion)})
        for row in file.rows
        if row.set == "behaviors"
    ]
    for row in rows:
        if row.id not in places:
            raise HoldfastError(
                f"{file.perturbation}: a completion belongs to '{row.id}', which is not among "
                "the behaviors; delete the completions and run again"
            )
    return sorted(rows, key=lambda row: (row.level, row.draw, places[row.id]))


def _encodable(row: Row, *names: str) -> Row:
    """Return the texts of a row as a tokenizer takes them."""
    return {name: encodable(row[name]) for name in names if name in row}


def _verdicts(
    settings: Judge, items: Iterable[Item], journal: Journal, given: Given
) -> dict[str, Verdict]:
    """Return verdicts by digest; each finished batch is one entry of the journal.

    The model reads what no entry holds. That list is an entry too: a job that was killed goes on
    with the batches that it began with, and so gives the same bytes.
    """
    asked = {item.digest: item for item in items}
    verdicts = {
        digest: Verdict(**dict(written))
        for key in journal.entries()
        if key != ASKED
        for digest, written in journal.read(key, dict[str, WrittenVerdict]).items()
    }
    missing = [digest for digest in asked if digest not in verdicts]
    if not missing:
        return verdicts
    work = journal.read(ASKED, list[str]) if ASKED in journal else []
    if not set(missing) <= set(work) <= asked.keys():
        work = missing
        journal.append(ASKED, work)
    reader = judge_of(settings, given)
    bar = track(range(len(work)), f"judge {settings.kind}")

    def record(batch: Sequence[tuple[int, Verdict]]) -> None:
        done = {work[index]: verdict for index, verdict in batch}
        journal.append(next(iter(done)), {key: asdict(verdict) for key, verdict in done.items()})
        verdicts.update(done)
        for _ in batch:
            next(bar, None)

    known = {i: verdicts[digest] for i, digest in enumerate(work) if digest in verdicts}
    reader.judge([asked[digest] for digest in work], record, known)
    return verdicts
