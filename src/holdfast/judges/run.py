"""One judge reads all completions of an arm."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.files.atomic import sha256, write_jsonl
from holdfast.files.journal import Journal
from holdfast.judges.verdict import Given, Item, Reader, Verdict
from holdfast.progress import track
from holdfast.settings.judges import Judge
from holdfast.settings.kinds import module_of
from holdfast.text import encodable

Row = dict[str, Any]
NOTHING = Given()


def judge_completions(
    settings: Judge,
    given: Given = NOTHING,
    *,
    behaviors: Sequence[Row],
    completions: Mapping[str, Iterable[Row]],
    out_path: str | Path,
    journal_path: str | Path,
) -> None:
    """Write the verdicts on ``completions`` (rows of completions.jsonl, by perturbation).

    Only rows of the set ``behaviors`` are judged, equal completions of a behavior once. Work that
    ``journal_path`` holds is not done again, by a job of several judges that was killed either.
    A row is {"perturbation", "level", "draw", "id", "verdict", "score", "flagged"}; rows are
    sorted by perturbation, level, draw and the behavior's place in ``behaviors``.

    Raises HoldfastError for a completion of an unknown behavior.
    """
    rows = _rows(behaviors, completions)
    known = {row["id"]: row | _encodable(row, "behavior", "context") for row in behaviors}
    items = list(
        {
            item.digest: item for item in (Item(known[r["id"]], r["completion"]) for r in rows)
        }.values()
    )
    digests = hashlib.sha256("".join(item.digest for item in items).encode()).hexdigest()
    header = {"judge": settings.model_dump(mode="json"), "items": digests}
    if given.template is not None:
        header["template"] = sha256(given.template)
    journal = Journal(journal_path, header)
    verdicts = _judge(settings, items, journal, given)
    write_jsonl(
        out_path,
        (
            {name: row[name] for name in ("perturbation", "level", "draw", "id")}
            | asdict(verdicts[Item(known[row["id"]], row["completion"]).digest])
            for row in rows
        ),
    )


def judge_of(settings: Judge, given: Given) -> Reader:
    """Return the judge that ``settings`` describe, its model loaded.

    Raises:
        HoldfastError: ``holdfast.judges`` has no module of that kind.
    """
    judge: Reader = module_of("holdfast.judges", settings.kind).judge_of(settings, given)
    return judge


def _rows(behaviors: Sequence[Row], completions: Mapping[str, Iterable[Row]]) -> list[Row]:
    places = {row["id"]: place for place, row in enumerate(behaviors)}
    rows = [
        {"perturbation": perturbation} | row | _encodable(row, "completion")
        for perturbation, group in completions.items()
        for row in group
        if row["set"] == "behaviors"
    ]
    for row in rows:
        if row["id"] not in places:
            raise HoldfastError(
                f"{row['perturbation']}: a completion belongs to '{row['id']}', which is not among "
                "the behaviors; delete the completions and run again"
            )
    return sorted(
        rows,
        key=lambda row: (row["perturbation"], row["level"], row["draw"], places[row["id"]]),
    )


def _encodable(row: Row, *names: str) -> Row:
    """Return the texts of a row as a tokenizer takes them."""
    return {name: encodable(row[name]) for name in names if name in row}


def _judge(
    settings: Judge, items: list[Item], journal: Journal, given: Given
) -> dict[str, Verdict]:
    """Return verdicts by digest; each finished batch is one entry of the journal."""
    verdicts = {
        digest: Verdict(**verdict)
        for batch in journal.entries().values()
        for digest, verdict in batch.items()
    }
    if len(verdicts) == len(items):
        return verdicts
    judge = judge_of(settings, given)
    bar = track(range(len(items)), f"judge {settings.kind}")

    def record(batch: Sequence[tuple[int, Verdict]]) -> None:
        done = {items[index].digest: verdict for index, verdict in batch}
        journal.append(next(iter(done)), {key: asdict(verdict) for key, verdict in done.items()})
        verdicts.update(done)
        for _ in batch:
            next(bar, None)

    known = {i: verdicts[item.digest] for i, item in enumerate(items) if item.digest in verdicts}
    judge.judge(items, record, known)
    return verdicts
