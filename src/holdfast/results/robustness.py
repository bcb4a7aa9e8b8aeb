"""The measurements of a robustness table: every section's cells, with paired changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import HoldfastError
from holdfast.results import cells
from holdfast.results.metrics import Metric, metric_of
from holdfast.results.runs import Arms, Summary, require_same_behaviors
from holdfast.results.settings import Labels, Reference, RobustnessTable, Section, level_name
from holdfast.results.tidy import Record


@dataclass(frozen=True)
class Row:
    """One perturbation at one level: a record a metric."""

    perturbation: str
    level: str
    cell: cells.Cell
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Part:
    """One section of one model."""

    model: str
    section: Section
    summary: Summary
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]


def measure(settings: RobustnessTable, summaries: Sequence[Summary], labels: Labels) -> list[Part]:
    """Return the parts of a table, model by model and section by section.

    Raises HoldfastError naming the summary, cell or metric that is missing. What only some arms
    have is left out where it is missing, and has no arrow where its reference lacks it.
    """
    arms = Arms(summaries)
    models = arms.models(settings.models)
    used = [arms.find(model, section.arm) for model in models for section in settings.sections]
    names = [*settings.metrics]
    for extra in settings.extra_metrics:
        if extra not in names and all(extra in summary["metrics"] for summary in used):
            names.append(extra)
    parts = [
        _part(arms, model, section, names, labels)
        for model in models
        for section in settings.sections
    ]
    if not any(part.rows for part in parts):
        raise HoldfastError("no arm shown was tested under a perturbation shown: show others")
    return parts


def _part(arms: Arms, model: str, section: Section, names: Sequence[str], labels: Labels) -> Part:
    summary = arms.find(model, section.arm)
    metrics = tuple(metric_of(summary, name) for name in names)
    chosen = cells.select(summary, section.perturbations, section.levels, labels)
    rows = tuple(_row(arms, summary, cell, section.reference, metrics, labels) for cell in chosen)
    return Part(model, section, summary, metrics, rows)


def _row(
    arms: Arms,
    summary: Summary,
    cell: cells.Cell,
    reference: Reference | None,
    metrics: Sequence[Metric],
    labels: Labels,
) -> Row:
    perturbation, level = cell["perturbation"], level_name(cell["level"])
    before, name = None, ""
    if reference is not None:
        other = arms.find(summary["model"], reference.arm)
        require_same_behaviors(summary, other)
        unperturbed = reference.perturbation == "none"
        there: tuple[str, str] = ("none", "") if unperturbed else (perturbation, level)
        if (other["arm"], *there) != (summary["arm"], perturbation, level):
            before = cells.cell_if_any(other, *there, labels)
            name = "/".join(filter(None, (other["arm"], *there))) if before is not None else ""
    records = tuple(
        Record(
            summary["model"],
            summary["arm"],
            perturbation,
            level,
            metric.name,
            metric.better,
            cells.estimate(cell, metric),
            name,
            cells.change(cell, before, metric) if before is not None else None,
        )
        for metric in metrics
    )
    return Row(perturbation, level, cell, records)
