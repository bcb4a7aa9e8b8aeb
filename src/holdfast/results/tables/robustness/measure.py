"""The measurements of a robustness table: every section's cells, with paired changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from holdfast.errors import HoldfastError
from holdfast.results.measured import cells
from holdfast.results.measured.controls import controls_of, floor_of
from holdfast.results.measured.files import Summary
from holdfast.results.measured.metrics import Metric, metric_of
from holdfast.results.measured.pooling import Cell, Pooled
from holdfast.results.measured.runs import Arms, require_same_behaviors
from holdfast.results.measured.same_arms import cell_key
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.cells import Section, level_name
from holdfast.settings.labels import Labels
from holdfast.settings.tables import RobustnessTable
from holdfast.statistics import Change, adjusted_by_family


@dataclass(frozen=True)
class Row:
    """One perturbation at one level: a record a metric.

    ``cells``: what rows share that show the same cell beside the same reference, by whatever name.
    """

    perturbation: str
    level: str
    cell: Cell
    records: tuple[Measurement, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One section of one model; ``others``: its reference, and the controls of that."""

    model: str
    section: Section
    summary: Pooled
    others: tuple[Pooled, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]


# A test: its family, the cells that it compares, and the metric.
Test = tuple[str, ...]


def measure(settings: RobustnessTable, summaries: Sequence[Summary], labels: Labels) -> list[Part]:
    """Return the parts of a table, model by model and section by section.

    Raises HoldfastError naming the summary, cell or metric that is missing. What only some arms
    have is left out where it is missing, and has no arrow where its reference lacks it.
    """
    arms = Arms(summaries, settings.draws)
    models = arms.models(settings.models)
    used = [arms.find(model, section.arm) for model in models for section in settings.sections]
    names = [*settings.metrics]
    for extra in settings.extra_metrics:
        if extra not in names and all(extra in summary.metrics for summary in used):
            names.append(extra)
    parts = [
        _part(arms, model, section, names, settings, labels)
        for model in models
        for section in settings.sections
    ]
    if not any(part.rows for part in parts):
        raise HoldfastError("no arm shown was tested under a perturbation shown: show others")
    return _adjusted(parts, settings)


def arms_of(parts: Sequence[Part]) -> list[Pooled]:
    """Return the arms that a table is about: references first, and their controls last."""
    shown = [arm for part in parts for arm in (*part.others[:1], part.summary)]
    return shown + [control for part in parts for control in part.others[1:]]


def family_of(record: Measurement, part: int, settings: RobustnessTable) -> str:
    """Return which comparisons a record's is adjusted with; ``part`` is the number of its part."""
    return {"table": "", "section": str(part), "metric": record.metric}[settings.family]


def tests_of(parts: Sequence[Part], settings: RobustnessTable) -> dict[Test, Change]:
    """Return what is tested; a comparison that is shown twice in a family is one test.

    So it is where two arms shown are one. The family of a test is its first item.
    """
    tests: dict[Test, Change] = {}
    for number, part in enumerate(parts):
        for row in part.rows:
            for record in row.records:
                if record.change and record.change.p_value is not None:
                    tests.setdefault(_test(record, row, number, settings), record.change)
    return tests


def _test(record: Measurement, row: Row, part: int, settings: RobustnessTable) -> Test:
    return (family_of(record, part, settings), *row.cells, record.metric)


def _adjusted(parts: Sequence[Part], settings: RobustnessTable) -> list[Part]:
    """Return the parts with p-values adjusted over each family of comparisons."""
    tests = tests_of(parts, settings)
    plain = [change.p_value for change in tests.values() if change.p_value is not None]
    together = adjusted_by_family(plain, [test[0] for test in tests], settings.adjust)
    adjusted = dict(zip(tests, together, strict=True))

    def adjust(record: Measurement, row: Row, part: int) -> Measurement:
        return replace(record, p_adjusted=adjusted.get(_test(record, row, part, settings)))

    def row_of(row: Row, part: int) -> Row:
        return replace(row, records=tuple(adjust(record, row, part) for record in row.records))

    return [
        replace(part, rows=tuple(row_of(row, number) for row in part.rows))
        for number, part in enumerate(parts)
    ]


def _part(
    arms: Arms,
    model: str,
    section: Section,
    names: Sequence[str],
    settings: RobustnessTable,
    labels: Labels,
) -> Part:
    summary = arms.find(model, section.arm)
    metrics = tuple(metric_of(summary, name) for name in names)
    chosen = cells.select(summary, section.perturbations, section.levels, labels)
    rows = tuple(_row(arms, summary, cell, section, metrics, settings, labels) for cell in chosen)
    others: list[Pooled] = []
    if section.reference is not None:
        name = section.reference.arm
        controls = controls_of(settings.controls, name, labels.parents)
        others = [arms.find(model, arm) for arm in (name, *controls)]
    return Part(model, section, summary, tuple(others), metrics, rows)


def _row(
    arms: Arms,
    summary: Pooled,
    cell: Cell,
    section: Section,
    metrics: Sequence[Metric],
    settings: RobustnessTable,
    labels: Labels,
) -> Row:
    perturbation, level = cell.perturbation, level_name(cell.level)
    reference = section.reference
    before, name = None, ""
    shown = cell_key(summary, (perturbation, level), labels)
    against: tuple[str, ...] = ()
    if reference is not None:
        other = arms.find(summary.model, reference.arm)
        require_same_behaviors(summary, other)
        unperturbed = reference.perturbation == "none"
        there: tuple[str, str] = ("none", "") if unperturbed else (perturbation, level)
        if (other.arm, *there) != (summary.arm, perturbation, level):
            before = cells.cell_if_any(other, *there, labels)
            name = "/".join(filter(None, (other.arm, *there))) if before is not None else ""
            against = cell_key(other, there, labels)

    def compared(record: Measurement, metric: Metric) -> Measurement:
        if before is None:
            return record
        if shown == against:
            return replace(record, reference=name)
        return replace(
            record,
            reference=name,
            change=cells.change(cell, before, metric),
            noise_floor=floor_of(arms, settings.controls, summary, other, there, metric, labels),
        )

    plain = [
        Measurement(
            summary.model,
            summary.arm,
            perturbation,
            level,
            metric.name,
            metric.better,
            cells.estimate(cell, metric),
        )
        for metric in metrics
    ]
    records = tuple(map(compared, plain, metrics))
    return Row(perturbation, level, cell, records, (*shown, *against))
