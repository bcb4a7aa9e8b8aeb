"""Ours beside published numbers: a table for each model and arm that has some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdfast.config.published import (
    UNITS,
    Printed,
    place,
    read,
)
from holdfast.errors import HoldfastError
from holdfast.results.measured.beginnings import bos_notes
from holdfast.results.measured.metrics import show
from holdfast.results.measured.pooling import Pooled
from holdfast.results.measured.same_arms import is_same, same_arm_notes
from holdfast.results.tables.grid import Entry, Table, TableBlock
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.labels import Labels
from holdfast.settings.published import Published

VALUES = ("Ours", "Interval", "Published", "Difference", "In interval")
COVERS = (
    "A published number counts as inside if one that rounds to it is inside. Our interval covers "
    "our sampling only, not the publication's, so a faithful repetition can miss it too."
)
VERDICTS = {True: "yes", False: "no", None: "–"}


def compared(table: Table, names: Published, labels: Labels, shown: Sequence[Pooled] = ()) -> Table:
    """Return ``table`` with its published numbers: in its records, and as comparisons.

    ``shown``: its arms, so that each comparison says which others its arm is the same as, and
    where perplexity misleads.
    Raises HoldfastError when the published table is unknown, or has none of this table's cells.
    """
    records = tuple(_look_up(record, names) for record in table.records)
    if not any(record.printed for record in records):
        raise HoldfastError(
            f"published/{names.table}.csv has none of its cells: correct `published:`"
        )
    arms: dict[tuple[str, str], list[Measurement]] = {}
    for record in records:
        arms.setdefault((record.model, record.arm), []).append(record)
    comparisons = tuple(
        _comparison(table, names, labels, group, shown)
        for group in arms.values()
        if any(record.printed for record in group)
    )
    notes = (*table.notes, _summary(names, labels, records))
    return replace(table, records=records, notes=notes, comparisons=comparisons)


def _look_up(record: Measurement, names: Published) -> Measurement:
    where = (record.model, record.arm, record.perturbation, record.level, record.metric)
    found = place(names, *where)
    text = read(names.table).get(found) if found else None
    return replace(record, printed=Printed(text, UNITS.get(record.metric, 1)) if text else None)


def _comparison(
    table: Table,
    names: Published,
    labels: Labels,
    records: Sequence[Measurement],
    shown: Sequence[Pooled],
) -> Table:
    model, arm = records[0].model, records[0].arm
    metrics = list(dict.fromkeys(record.metric for record in records))
    printed = sorted(
        (record for record in records if record.printed),
        key=lambda record: metrics.index(record.metric),
    )
    perturbed = any(record.perturbation for record in printed)
    text = ("Metric", "Perturbation", "Level") if perturbed else ("Metric",)
    rows = tuple(
        (*_names(record, names, labels)[: len(text)], *_values(record, record.printed))
        for record in printed
        if record.printed
    )
    with_interval = any(_within(record) is not None for record in printed)
    notes = (_score(printed), COVERS) if with_interval else (_score(printed),)
    itself = [one for one in shown if (one.model, one.arm) == (model, arm)]
    same = [other for one in itself for other in shown if is_same(one, other)]
    unbegun = bos_notes(itself) if any(one.metric == "perplexity" for one in printed) else []
    return Table(
        name=f"{table.name}-published-{model}-{arm}",
        title=f"{model}, {labels.arm(arm)}: ours and published {names.table}",
        caption=f"Published as {names.models[model]}, {names.arms[arm]}. "
        "Difference: ours minus published.",
        banner=table.banner,
        headings=(*text, *VALUES),
        text_columns=len(text),
        blocks=(TableBlock("", "", rows),),
        notes=(*notes, *same_arm_notes(same, labels), *unbegun),
        records=tuple(printed),
    )


def _names(record: Measurement, names: Published, labels: Labels) -> tuple[Entry, Entry, Entry]:
    arrow = "↓" if record.better == "lower" else "↑"
    return (
        Entry(f"{names.metrics[record.metric]} {arrow}"),
        Entry(labels.perturbation(record.perturbation).label),
        Entry(labels.level(record.perturbation, record.level)),
    )


def _values(record: Measurement, printed: Printed) -> tuple[Entry, ...]:
    """Format a comparison in the publication's unit, with as many decimals as it prints."""
    estimate = record.estimate

    def ours(value: float) -> str:
        return show(value / printed.unit, printed.decimals)

    interval = "–"
    if estimate.low is not None and estimate.high is not None:
        interval = f"{ours(estimate.low)}–{ours(estimate.high)}"
    difference = printed.difference(estimate.value)
    size = ours(abs(difference))
    sign = "" if float(size) == 0 else "−" if difference < 0 else "+" if difference > 0 else ""
    verdict = VERDICTS[_within(record)]
    texts = (ours(estimate.value), interval, printed.text, f"{sign}{size}", verdict)
    return tuple(map(Entry, texts))


def _score(records: Sequence[Measurement]) -> str:
    """Count the published numbers, and those inside our intervals."""
    count = sum(record.printed is not None for record in records)
    judged = [inside for inside in map(_within, records) if inside is not None]
    if not judged:
        return f"{count} published numbers; ours have no interval."
    return f"{count} published numbers; {sum(judged)} of {len(judged)} lie in our 95 % interval."


def _within(record: Measurement) -> bool | None:
    if record.printed is None:
        return None
    return record.printed.within(record.estimate.low, record.estimate.high)


def _summary(names: Published, labels: Labels, records: Sequence[Measurement]) -> str:
    """Say what was compared, and which models, arms and cells have no published numbers."""
    found = {(record.model, record.arm) for record in records if record.printed}
    arms = dict.fromkeys((record.model, record.arm) for record in records)
    missing = [f"{m}, {labels.arm(a)}" for m, a in arms if (m, a) not in found]
    cells = sum(record.printed is None for record in records if (record.model, record.arm) in found)
    parts = [f"Compared with published {names.table}: {_score(records)}"]
    if missing:
        parts.append(f"Nothing is published for {'; '.join(missing)}.")
    if cells:
        parts.append(f"{cells} other cells have no published number.")
    return " ".join(parts)
