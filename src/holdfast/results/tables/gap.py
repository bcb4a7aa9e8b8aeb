"""The robustness gap of arms, what bounds a zeroth-order step, and the check of Theorem 4.4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from holdfast.results.measured.around import Around, around
from holdfast.results.measured.files import Gap, models_of
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import arrow, tone
from holdfast.results.tables.grid import (
    BANNER,
    Block,
    Cell,
    Table,
)
from holdfast.results.tables.tidy import Record
from holdfast.settings.labels import Labels
from holdfast.settings.tables import GapTable
from holdfast.statistics import Change, Estimate, holm

HEADINGS = ("ρ", "f_ρ", "Robustness gap ↓", "|∇f_ρ|²", "tr H", "1 / tr H", "Theorem 4.4")
DIGITS = 9  # a change that is smaller is none
ABSENT = Cell("–")


def build(name: str, settings: GapTable, inputs: Inputs, context: Context) -> Table:
    """Build the table: a section an arm, a row a rho.

    The first row, at rho = 0, holds f and |grad f|^2 themselves. Raises HoldfastError naming what
    is missing or cannot be compared.
    """
    files, labels = inputs.gaps, context.labels
    arms = list(dict.fromkeys([*settings.arms, *settings.references.values()]))
    blocks, records = [], []
    models = models_of(Gap, files, settings.models)
    found = {model: around(files, model, arms) for model in models}
    changes = [change for pair in _pairs(settings, found) for change in _changes(*pair)]
    stars = _stars(changes)
    for model, measured in found.items():
        for arm in settings.arms:
            one, before = measured[arm], measured.get(settings.references.get(arm, ""))
            title = labels.change(arm, before.arm) if before else labels.arm(arm)
            first = model if arm == settings.arms[0] else ""
            blocks.append(Block(first, title, _rows(one, before, stars)))
            records += _records(model, one, before)
    return Table(
        name,
        settings.title,
        settings.caption,
        BANNER if context.meaningless else "",
        (),
        HEADINGS,
        1,
        tuple(blocks),
        _notes(settings, found, len(changes), labels),
        tuple(records),
    )


def verdict(change: Change) -> str:
    """Say whether a gap fell, by the 95 % interval of its change."""
    if change.high is not None and change.high < 0:
        return "supported"
    return "contradicted" if change.low is not None and change.low > 0 else "cannot tell"


def _pairs(
    settings: GapTable, found: dict[str, dict[str, Around]]
) -> list[tuple[Around, Around | None]]:
    return [
        (measured[arm], measured.get(settings.references.get(arm, "")))
        for measured in found.values()
        for arm in settings.arms
    ]


def _changes(one: Around, before: Around | None) -> list[Change]:
    return [one.change(before, size) for size in range(len(one.rho))] if before else []


def _stars(changes: Sequence[Change]) -> dict[Change, str]:
    adjusted = holm([change.p_value or 0.0 for change in changes])
    return {
        change: "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))
        for change, p in zip(changes, adjusted, strict=True)
    }


def _rows(
    one: Around, before: Around | None, stars: dict[Change, str]
) -> tuple[tuple[Cell, ...], ...]:
    loss = float(one.losses.mean())
    square = ABSENT if one.square is None else Cell(_show(one.square))
    rows = [(Cell("0"), Cell(_show(loss)), ABSENT, square, ABSENT, ABSENT, ABSENT)]
    changes = _changes(one, before)
    for size, rho in enumerate(one.rho):
        gap, trace, smoothed = one.gap(size), one.trace(size), one.smoothed(size)
        gradient = ABSENT
        if smoothed is not None:
            value, error = smoothed
            gradient = Cell(_show(value), interval="" if error is None else f"SE {_show(error)}")
        change = changes[size] if before else None
        told = verdict(change) if change and one.step else "–"
        rows.append(
            (
                Cell(f"{rho:g}"),
                Cell(_show(loss + gap.value)),
                _gap_cell(gap, change, stars),
                gradient,
                Cell(_show(trace.value), interval=_interval(trace)),
                Cell(_show(1 / trace.value)) if (trace.low or 0) > 0 else ABSENT,
                Cell(told),
            )
        )
    return tuple(rows)


def _gap_cell(gap: Estimate, change: Change | None, stars: dict[Change, str]) -> Cell:
    plain = Cell(_show(gap.value), interval=_interval(gap))
    if change is None:
        return plain
    return replace(
        plain,
        arrow=arrow(change.delta, DIGITS),
        amount=_show(abs(change.delta)),
        stars=stars[change],
        tone=tone(change.delta, "lower", DIGITS),
    )


def _records(model: str, one: Around, before: Around | None) -> list[Record]:
    def record(metric: str, estimate: Estimate, rho: float, change: Change | None = None) -> Record:
        reference = before.arm if before and change else ""
        place = (model, one.arm, "rho", f"{rho:g}", metric)
        return Record(*place, "lower", estimate, reference, change)

    def plain(value: float) -> Estimate:
        return Estimate(value, None, None, len(one.losses), 1)

    records = [record("loss", plain(float(one.losses.mean())), 0)]
    if one.square is not None:
        records.append(record("squared_gradient", plain(one.square), 0))
    changes = _changes(one, before)
    for size, rho in enumerate(one.rho):
        change = changes[size] if before else None
        records.append(record("robustness_gap", one.gap(size), rho, change))
        records.append(record("hessian_trace", one.trace(size), rho))
        smoothed = one.smoothed(size)
        if smoothed is not None:
            records.append(record("squared_gradient", plain(smoothed[0]), rho))
    if one.step:  # the first step's size over q / tr H
        ratio = one.step.size * one.step.trace / one.step.directions
        records.append(record("step_ratio", plain(ratio), 0))
    return records


def _notes(
    settings: GapTable, found: dict[str, dict[str, Around]], tests: int, labels: Labels
) -> tuple[str, ...]:
    every = [measured[arm] for measured in found.values() for arm in settings.arms]
    seeds, draws = every[0].gaps.shape[1:]
    over = f"the {draws} draws" if seeds == 1 else f"{seeds} training seeds, each by its mean"
    notes = [
        "Robustness gap: Rob_ρ = f_ρ − f with f_ρ(θ) = E f(θ + ρv), in nats a response token of "
        f"{every[0].files[0].samples} safety pairs; ρ in units of the weights, v standard normal"
        f" over all parameters: {draws} draws a seed, each taken both ways, the same for all arms "
        f"and every ρ. 95 % t intervals over {over}.",
    ]
    if tests:
        notes.append(
            f"Arrows: change of the gap, paired over {over}. * p < .05, ** p < .01, *** p < .001, "
            f"t-test, two-sided, adjusted by Holm over the {tests} comparisons of this table."
        )
    notes.append(
        "tr H: 2 Rob_ρ / ρ², the trace of the Hessian of f smoothed at scale ρ. 1 / tr H is about "
        "the learning rate that lowers f most in one zeroth-order step of one direction over all "
        "parameters; q directions allow q times as much, and beyond twice of that a step raises f."
    )
    if any(one.square is not None for one in every):
        notes.append(
            "|∇f_ρ|²: unbiased, so an estimate may lie below zero; SE: its standard error. The row "
            "ρ = 0 holds f and |∇f|², which is exact."
        )
    if any(one.step and settings.references.get(one.arm) for one in every):
        notes.append(_theorem(settings, found, labels))
    notes += [_step(one, labels) for one in every if one.step]
    return tuple(notes)


def _theorem(settings: GapTable, found: dict[str, dict[str, Around]], labels: Labels) -> str:
    parents = [
        (model, measured[settings.references[arm]])
        for model, measured in found.items()
        for arm in settings.arms
        if measured[arm].step and arm in settings.references
    ]
    norms = dict.fromkeys(
        f"{labels.arm(one.arm)}{f' of {model}' if len(found) > 1 else ''}: "
        + ("not measured" if one.square is None else _show(math.sqrt(one.square)))
        for model, one in parents
    )
    return (
        "Theorem 4.4: from a stationary point of f, one zeroth-order step with a small enough "
        "learning rate lowers E Rob_ρ. Its premise, |∇f| = 0, is not met by a trained model "
        f"(|∇f| of {', '.join(norms)}), and an arm takes several steps, so what is checked is its "
        "conclusion: supported where the 95 % interval of the change lies below zero, contradicted "
        "where it lies above, and otherwise this cannot tell."
    )


def _step(one: Around, labels: Labels) -> str:
    step = one.step
    assert step is not None
    error = step.standard_error
    trace = f"{_show(step.trace)}{'' if error is None else f' ± {_show(error)}'}"
    seed = f", seed {one.files[0].seed}" if len(one.files) > 1 else ""
    told = (
        f"{labels.arm(one.arm)}{seed}: the first step has size {step.size:.3g} at the peak "
        f"learning rate {step.learning_rate:g}, with q = {step.directions} and tr H = {trace}"
        " over the layers that it moves"
    )
    if step.trace <= 0:
        return f"{told}, too uncertain to bound it."
    usable = step.directions / step.trace
    return f"{told}: {step.size / usable:.3g} times q / tr H = {usable:.3g}."


def _interval(estimate: Estimate) -> str:
    assert estimate.low is not None
    assert estimate.high is not None
    return f"{_show(estimate.low)}–{_show(estimate.high)}"


def _show(value: float) -> str:
    """Print four significant digits."""
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:.3e}"
