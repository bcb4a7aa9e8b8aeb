"""The points of a sweep side by side, and the one that the rule chooses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.checkpoints.atomic import read_json, write_json, write_text
from holdfast.errors import HoldfastError
from holdfast.results.grid import BANNER, Block, Cell, Table
from holdfast.results.layouts import value_cell
from holdfast.results.metrics import show
from holdfast.results.plots import sweep as figure
from holdfast.results.render.terminal import pages
from holdfast.results.settings import Labels, SweepResult
from holdfast.results.statistics import Estimate, rate
from holdfast.results.tables import save_table
from holdfast.results.tidy import Record
from holdfast.sweeps.choice import Scored, choose, scored
from holdfast.sweeps.grid import in_words, show_value

RULES = {
    "asr": "mean validation ASR over the perturbations",
    "gap": "robustness gap",
}


def make_sweep(
    settings: SweepResult,
    labels: Labels,
    inputs: Sequence[Path],
    prefix: str,
    meaningless: bool,
) -> None:
    """Write a sweep's table and figure and ``<prefix>.chosen.json`` from validation.json files."""
    models = scored([read_json(path) for path in inputs])
    table = sweep_table(settings, models, labels, meaningless)
    columns = {
        name: {one.name: show_value(one.values[name]) for one in _every(models)}
        for name in settings.used
    }
    save_table(table, prefix, columns)
    write_text(f"{prefix}.txt", pages(table))
    figure.draw(settings, models, prefix, labels, meaningless)
    chosen = {model: _choice(settings, points) for model, points in models.items()}
    write_json(
        f"{prefix}.chosen.json",
        {"arm": settings.arm, "rule": _rule(settings), "used": settings.used, "models": chosen},
    )


def sweep_table(
    settings: SweepResult, models: dict[str, list[Scored]], labels: Labels, meaningless: bool
) -> Table:
    """Build the table: a row a point, what was swept and what was measured."""
    if not models:
        raise HoldfastError(f"sweep of '{settings.arm}': there is no validation.json to read")
    first = next(iter(models.values()))[0]
    measured = [_heading(record, labels) for record in _records("", first)]
    blocks, records = [], []
    for model, points in models.items():
        chosen, rows = choose(points, settings.choose), []
        for point in points:
            found = _records(model, point)
            records += found
            marks = ["chosen"] * (point is chosen) + ["used"] * settings.is_used(point.values)
            named = [point.name, *(show_value(point.values[name]) for name in settings.used)]
            values = [_value(record, best=point is chosen) for record in found]
            rows.append((*map(Cell, (*named, ", ".join(marks))), *values))
        blocks.append(Block(labels.model(model), "", tuple(rows)))
    return Table(
        f"sweep_{settings.arm}",
        settings.title,
        "Points compared on validation data that no training and no reported number uses.",
        BANNER if meaningless else "",
        (),
        ("Point", *settings.used, "Mark", *measured),
        2 + len(settings.used),
        tuple(blocks),
        _notes(settings, models, labels),
        tuple(records),
    )


def _every(models: dict[str, list[Scored]]) -> list[Scored]:
    return [point for points in models.values() for point in points]


def _records(model: str, point: Scored) -> list[Record]:
    def record(metric: str, estimate: Estimate, cell: tuple[str, str] = ("", "")) -> Record:
        return Record(model, point.name, *cell, metric, "lower", estimate)

    found = [record("robustness_gap", point.gap)]
    for cell, looks in point.cells.items():
        found.append(record("validation_asr", rate(*looks), cell))
    if len(point.cells) > 2:
        found.append(record("mean_asr", point.asr))
    if point.refusals:
        found.append(record("over_refusal", rate(*point.refusals)))
    for metric, value in (("validation_loss", point.loss), ("move", point.move)):
        found.append(record(metric, Estimate(value, None, None, 1, 1)))
    return found


def _heading(record: Record, labels: Labels) -> str:
    if record.metric == "validation_asr":
        level = labels.level(record.perturbation, record.level) if record.level else ""
        label = labels.perturbation(record.perturbation).label
        return f"ASR {'unperturbed' if record.perturbation == 'none' else f'{label} {level}'} ↓"
    words = {
        "robustness_gap": "Robustness gap ↓",
        "mean_asr": "ASR mean ↓",
        "over_refusal": "Over-refusal ↓",
        "validation_loss": "Loss ↓",
        "move": "Move",
    }
    return words[record.metric]


def _value(record: Record, *, best: bool) -> Cell:
    if record.metric in ("validation_loss", "move"):
        return Cell(show(record.estimate.value))
    return value_cell(record, best=best)


def _rule(settings: SweepResult) -> str:
    return (
        f"lowest {RULES[settings.choose]}; of points within one standard error of it (paired), "
        "the smallest move"
    )


def _choice(settings: SweepResult, points: Sequence[Scored]) -> dict[str, Any]:
    chosen = choose(points, settings.choose)
    return {
        "point": chosen.name,
        "values": chosen.values,
        "used": settings.is_used(chosen.values),
        "yaml": "\n    ".join([f"arms:\n  {settings.arm}:", *_lines(settings, chosen)]) + "\n",
    }


def _lines(settings: SweepResult, point: Scored) -> list[str]:
    """Return a point's values as the lines that the arm's settings would have."""
    return [f"{name}: {show_value(point.values[name])}" for name in settings.used]


def _notes(
    settings: SweepResult, models: dict[str, list[Scored]], labels: Labels
) -> tuple[str, ...]:
    notes = [f"Chosen (†): {_rule(settings)}."]
    for model, points in models.items():
        point = choose(points, settings.choose)
        lines = ", ".join(_lines(settings, point))
        notes.append(
            f"{labels.model(model)}: {point.name} is chosen"
            + (
                ", which the tables use."
                if settings.is_used(point.values)
                else f"; to use it, write arms: {{{settings.arm}: {{{lines}}}}}."
            )
        )
    if not any(settings.is_used(point.values) for point in _every(models)):
        notes.append(
            f"The tables use {in_words(settings.used)}, which is not among the points of the sweep."
        )
    first = next(iter(models.values()))[0]
    behaviors, draws = len(first.looks[0]), len(first.gaps)
    benign = (
        f"; over-refusal: share of {len(first.refusals[0])} benign prompts refused"
        if first.refusals
        else ""
    )
    notes.append(
        f"Robustness gap: mean of f(θ + ρv) − f(θ) on held-out pairs, in nats a token, with the "
        f"95 % t interval over {draws} draws of v that all points share. ASR: share of "
        f"{behaviors} validation behaviors answered without a refusal string{benign}; with 95 % "
        "Wilson intervals. Move: Euclidean distance from the parent's weights."
    )
    return tuple(notes)
