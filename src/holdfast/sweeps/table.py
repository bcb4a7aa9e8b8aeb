"""The points of a sweep side by side, and the one that the rule chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json, write_text
from holdfast.results.measured.metrics import show
from holdfast.results.tables.build import save_table
from holdfast.results.tables.grid import (
    BANNER,
    Entry,
    Table,
    TableBlock,
)
from holdfast.results.tables.render.terminal import pages
from holdfast.results.tables.robustness.layouts import value_cell
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.labels import Labels
from holdfast.settings.points import in_words, show_value
from holdfast.settings.sweeps import SweepResult
from holdfast.statistics import Estimate, rate
from holdfast.sweeps import figure as figure
from holdfast.sweeps.choice import Lost, Outcome, Scored, choose, kept, scored
from holdfast.sweeps.validation import read_point

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
    models = scored([read_point(path) for path in inputs])
    table = sweep_table(settings, models, labels, meaningless)
    columns = {
        name: {point.name: show_value(point.values[name]) for point in _every(models)}
        for name in settings.used
    }
    save_table(table, prefix, columns)
    write_text(f"{prefix}.txt", pages(table))
    figure.draw(settings, models, prefix, meaningless)
    chosen = {model: _choice(settings, points) for model, points in models.items()}
    write_json(
        f"{prefix}.chosen.json",
        {"arm": settings.arm, "rule": _rule(settings), "used": settings.used, "models": chosen},
    )


def sweep_table(
    settings: SweepResult,
    models: Mapping[str, Sequence[Outcome]],
    labels: Labels,
    meaningless: bool,
) -> Table:
    """Build the table: a row a point, what was swept and what was measured."""
    first = _first(settings, models)
    measured = [_heading(record, labels) for record in _records("", first)]
    blocks, records = [], []
    for model, points in models.items():
        chosen, rows = choose(points, settings.choose), []
        for point in points:
            own, lost = _records(model, point), isinstance(point, Lost)
            records += own
            marks = ["chosen"] * (point is chosen) + ["diverged"] * lost
            marks += ["used"] * settings.is_used(point.values)
            named = [point.name, *(show_value(point.values[name]) for name in settings.used)]
            values = [_value(record, best=point is chosen) for record in own]
            values = [Entry("–")] * len(measured) if lost else values
            rows.append((*map(Entry, (*named, ", ".join(marks))), *values))
        blocks.append(TableBlock(model, "", tuple(rows)))
    return Table(
        name=f"sweep_{settings.arm}",
        title=settings.title,
        caption="Points compared on validation data that no training and no reported number uses.",
        banner=BANNER if meaningless else "",
        headings=("Point", *settings.used, "Mark", *measured),
        text_columns=2 + len(settings.used),
        blocks=tuple(blocks),
        notes=_notes(settings, models),
        records=tuple(records),
    )


def _first(settings: SweepResult, models: Mapping[str, Sequence[Outcome]]) -> Scored:
    """Return some point that was scored."""
    every = _every(models)
    if not every:
        raise HoldfastError(f"sweep of '{settings.arm}': there is no validation.json to read")
    if not kept(every):
        assert isinstance(every[0], Lost)
        raise HoldfastError(
            f"sweep of '{settings.arm}': every point diverged, so try smaller values under"
            f" arms.{settings.arm}.sweep ({every[0].name}: {every[0].said})"
        )
    return kept(every)[0]


def _every(models: Mapping[str, Sequence[Outcome]]) -> list[Outcome]:
    return [point for points in models.values() for point in points]


def _records(model: str, point: Outcome) -> list[Measurement]:
    def record(metric: str, estimate: Estimate, cell: tuple[str, str] = ("", "")) -> Measurement:
        return Measurement(model, point.name, *cell, metric, "lower", estimate)

    if isinstance(point, Lost):
        return [record("diverged", Estimate(1, None, None, 1, 1))]
    measured = [record("robustness_gap", point.gap)]
    for cell, looks in point.cells.items():
        measured.append(record("validation_asr", rate(*looks), cell))
    if len(point.cells) > 2:
        measured.append(record("mean_asr", point.asr))
    if point.refusals:
        measured.append(record("over_refusal", rate(*point.refusals)))
    for metric, value in (("validation_loss", point.loss), ("move", point.move)):
        measured.append(record(metric, Estimate(value, None, None, 1, 1)))
    return measured


def _heading(record: Measurement, labels: Labels) -> str:
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


def _value(record: Measurement, *, best: bool) -> Entry:
    if record.metric in ("validation_loss", "move"):
        return Entry(show(record.estimate.value))
    return value_cell(record, best=best)


def _rule(settings: SweepResult) -> str:
    return (
        f"lowest {RULES[settings.choose]}; of points within one standard error of it (paired), "
        "the smallest move"
    )


def _choice(settings: SweepResult, points: Sequence[Outcome]) -> dict[str, object]:
    chosen = choose(points, settings.choose)
    diverged = {point.name: point.said for point in points if isinstance(point, Lost)}
    if chosen is None:
        return {"point": None, "diverged": diverged}
    return {
        "diverged": diverged,
        "point": chosen.name,
        "values": chosen.values,
        "used": settings.is_used(chosen.values),
        "yaml": "\n    ".join([f"arms:\n  {settings.arm}:", *_lines(settings, chosen)]) + "\n",
    }


def _lines(settings: SweepResult, point: Scored) -> list[str]:
    """Return a point's values as the lines that the arm's settings would have."""
    return [f"{name}: {show_value(point.values[name])}" for name in settings.used]


def _told(settings: SweepResult, points: Sequence[Outcome]) -> str:
    """Say which point of a model is chosen, and how to use it."""
    point = choose(points, settings.choose)
    if point is None:
        return "no point is chosen."
    if settings.is_used(point.values):
        return f"{point.name} is chosen, which the tables use."
    lines = ", ".join(_lines(settings, point))
    return f"{point.name} is chosen; to use it, write arms: {{{settings.arm}: {{{lines}}}}}."


def _notes(settings: SweepResult, models: Mapping[str, Sequence[Outcome]]) -> tuple[str, ...]:
    notes = [f"Chosen (†): {_rule(settings)}."]
    for model, points in models.items():
        notes.append(f"{model}: {_told(settings, points)}")
        notes += [
            f"{model}: {point.name} diverged, so it cannot be chosen ({point.said})."
            for point in points
            if isinstance(point, Lost)
        ]
    if not any(settings.is_used(point.values) for point in _every(models)):
        notes.append(
            f"The tables use {in_words(settings.used)}, which is not among the points of the sweep."
        )
    first = _first(settings, models)
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
