"""The two layouts of a robustness table: perturbations as rows, or metrics as rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from holdfast.errors import HoldfastError
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import (
    Better,
    Metric,
    arrow,
    show,
    tone,
)
from holdfast.results.measured.same_arms import SAME_MARK
from holdfast.results.tables.comparison import compared
from holdfast.results.tables.grid import (
    BANNER,
    Entry,
    Table,
    TableBlock,
)
from holdfast.results.tables.robustness.measure import Part, measure
from holdfast.results.tables.robustness.notes import footnotes
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.cells import Section
from holdfast.settings.labels import Labels
from holdfast.settings.tables import RobustnessTable

Best = set[tuple[str, str, str, str, str]]


def build(name: str, settings: RobustnessTable, inputs: Inputs, context: Context) -> Table:
    """Build a robustness table; raise HoldfastError when an input is missing."""
    labels = context.labels
    parts = measure(settings, inputs.summaries, labels)
    records = tuple(record for part in parts for row in part.rows for record in row.records)
    best = _best(parts) if settings.best_among_sections else set()
    if settings.layout == "transposed":
        groups, headings, text_columns, blocks = _transposed(parts, labels, best)
    else:
        groups, (headings, text_columns, blocks) = (), _rows(parts, labels, best)
    table = Table(
        name=name,
        title=settings.title,
        caption=settings.caption,
        banner=BANNER if any(part.summary.meaningless for part in parts) else "",
        groups=groups,
        headings=headings,
        text_columns=text_columns,
        blocks=blocks,
        notes=footnotes(settings, parts, labels),
        records=records,
    )
    if settings.published is None:
        return table
    return compared(table, settings.published, labels, [part.summary for part in parts])


def value_cell(record: Measurement, stars: str = "", best: bool = False) -> Entry:
    """Format one measurement."""
    estimate, change = record.estimate, record.change
    interval = (
        "no interval"
        if estimate.low is None or estimate.high is None
        else f"{show(estimate.low, 3)}–{show(estimate.high, 3)}"
    )
    if change is None:
        mark = SAME_MARK if record.same else ""
        return Entry(show(estimate.value), amount=mark, interval=interval, best=best)
    if record.noise_floor is not None:
        interval += f"; floor ±{show(record.noise_floor, 3)}"
    return Entry(
        show(estimate.value),
        arrow(change.delta),
        show(abs(change.delta)),
        stars,
        interval,
        "" if record.in_floor else tone(change.delta, record.better),
        best,
        record.in_floor,
    )


def _rows(
    parts: Sequence[Part], labels: Labels, best: Best
) -> tuple[tuple[str, ...], int, tuple[TableBlock, ...]]:
    with_method = any(part.section.method for part in parts)
    text = ("Method", "Perturbation", "Level")[0 if with_method else 1 :]
    headings = (*text, *(metric.heading for metric in parts[0].metrics))
    blocks = []
    for part in parts:
        rows = []
        for row in part.rows:
            named = [
                Entry(part.section.method or labels.arm(part.section.arm)),
                Entry(labels.perturbation(row.perturbation).label),
                Entry(labels.level(row.perturbation, row.level)),
            ][-len(text) :]
            values = [_value(part, record, best) for record in row.records]
            rows.append((*named, *values))
        blocks.append(TableBlock(*_titles(parts, part, labels), tuple(rows)))
    return headings, len(text), tuple(blocks)


def _transposed(
    parts: Sequence[Part], labels: Labels, best: Best
) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...], int, tuple[TableBlock, ...]]:
    columns = [(row.perturbation, row.level) for row in parts[0].rows]
    for part in parts:
        if [(row.perturbation, row.level) for row in part.rows] != columns:
            raise HoldfastError(
                f"a transposed table needs the same perturbations and levels in every section: "
                f"set levels so that {part.model}/{part.section.arm} shows those of "
                f"{parts[0].model}/{parts[0].section.arm}"
            )
    kinds = groupby(columns, key=lambda column: labels.perturbation(column[0]).label)
    groups = (("", 1), *((label, len(list(members))) for label, members in kinds))
    headings = ("Metric", *(labels.level(*column) for column in columns))
    blocks = []
    for part in parts:
        rows = [
            (
                Entry(metric.heading),
                *(_value(part, row.records[index], best) for row in part.rows),
            )
            for index, metric in enumerate(part.metrics)
        ]
        blocks.append(TableBlock(*_titles(parts, part, labels), tuple(rows)))
    return groups, headings, 1, tuple(blocks)


def _titles(parts: Sequence[Part], part: Part, labels: Labels) -> tuple[str, str]:
    """Return a section's two titles; the model's stands above its first section only."""
    together = [other for other in parts if other.model == part.model]
    title = part.section.title or ("" if len(together) == 1 else _described(part.section, labels))
    return part.model if together[0] is part else "", title


def _described(section: Section, labels: Labels) -> str:
    """Return what tells a section from others when it was given no title."""
    if section.reference is None:
        return labels.arm(section.arm)
    under = ", unperturbed" if section.reference.perturbation == "none" else ""
    return labels.change(section.arm, section.reference.arm, under)


def _value(part: Part, record: Measurement, best: Best) -> Entry:
    key = (part.model, part.section.arm, record.perturbation, record.level, record.metric)
    p = record.p_adjusted
    stars = "" if p is None else "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))
    return value_cell(record, stars, key in best)


def _best(parts: Sequence[Part]) -> Best:
    """Return which arms have the best ASR of their model, perturbation, level and judge."""
    rivals: dict[tuple[str, str, str, str, Better], list[tuple[float, str]]] = {}
    for part in parts:
        for row in part.rows:
            for record, metric in zip(row.records, part.metrics, strict=True):
                if metric.kind == "asr":
                    key = (part.model, *_place(record, metric), metric.better)
                    rivals.setdefault(key, []).append((record.estimate.value, part.section.arm))
    best: Best = set()
    for (model, perturbation, level, name, better), found in rivals.items():
        top = (min if better == "lower" else max)(value for value, _ in found)
        best |= {(model, arm, perturbation, level, name) for value, arm in found if value == top}
    return best


def _place(record: Measurement, metric: Metric) -> tuple[str, str, str]:
    return record.perturbation, record.level, metric.name
