"""One judge reads all completions of an arm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.data.templates import load_template
from holdfast.errors import HoldfastError, nearest
from holdfast.files.atomic import sha256, write_jsonl
from holdfast.files.journal import Journal
from holdfast.judges.refusal_prefix import RefusalPrefixJudge
from holdfast.judges.verdict import Item, Judge, Verdict
from holdfast.progress import track
from holdfast.settings.judges import HarmBench, LlamaGuard, RefusalPrefix
from holdfast.text import encodable

Row = dict[str, Any]
LoadModel = Callable[[], tuple[Any, Any]]  # -> a causal language model and its tokenizer


def judge_completions(
    settings: HarmBench | LlamaGuard | RefusalPrefix,
    *,
    behaviors: Sequence[Row],
    completions: Mapping[str, Iterable[Row]],
    out_path: str | Path,
    journal_path: str | Path,
    load_model: LoadModel | None = None,
    template_path: str | Path | None = None,
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
    if template_path is not None:
        header["template"] = sha256(template_path)
    journal = Journal(journal_path, header)
    verdicts = _judge(settings, items, journal, load_model, template_path)
    write_jsonl(
        out_path,
        (
            {name: row[name] for name in ("perturbation", "level", "draw", "id")}
            | asdict(verdicts[Item(known[row["id"]], row["completion"]).digest])
            for row in rows
        ),
    )


def build_judge(settings: Any, load_model: LoadModel | None, template_path: Any = None) -> Judge:
    """Return the judge that ``settings`` (of any kind in ``KINDS``) describe, its model loaded."""
    if settings.kind not in KINDS:
        raise HoldfastError(
            f"judges: there is no kind '{settings.kind}'{nearest(settings.kind, KINDS)}"
        )
    return KINDS[settings.kind](settings, load_model, template_path)


def _harmbench(settings: HarmBench, load_model: LoadModel, template_path: str | Path) -> Judge:
    from holdfast.judges.harmbench import HarmBenchJudge

    return HarmBenchJudge(
        *load_model(),
        load_template(Path(template_path)),
        max_completion_tokens=settings.max_completion_tokens,
        batch_size=settings.batch_size,
    )


def _llamaguard(settings: LlamaGuard, load_model: LoadModel, template_path: None) -> Judge:
    from holdfast.judges.llamaguard import LlamaGuardJudge

    return LlamaGuardJudge(
        *load_model(), answer_prefix=settings.answer_prefix, batch_size=settings.batch_size
    )


def _refusal_prefix(settings: RefusalPrefix, load_model: None, template_path: None) -> Judge:
    return RefusalPrefixJudge(settings.prefixes)


KINDS: Mapping[str, Callable[..., Judge]] = {
    "harmbench": _harmbench,
    "llamaguard": _llamaguard,
    "refusal_prefix": _refusal_prefix,
}


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
    settings: Any,
    items: list[Item],
    journal: Journal,
    load_model: LoadModel | None,
    template_path: str | Path | None,
) -> dict[str, Verdict]:
    """Return verdicts by digest; each finished batch is one entry of the journal."""
    verdicts = {
        digest: Verdict(**verdict)
        for batch in journal.entries().values()
        for digest, verdict in batch.items()
    }
    if len(verdicts) == len(items):
        return verdicts
    judge = build_judge(settings, load_model, template_path)
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
