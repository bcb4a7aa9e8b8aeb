"""The robustness gap of arms, what bounds a zeroth-order step, and the check of Theorem 4.4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from holdfast.results.measured.around import Around, around
from holdfast.results.measured.files import Gap, models_of
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import arrow, tone
from holdfast.results.measured.same_arms import (
    SAME_ARM,
    SAME_MARK,
    UNTESTED,
    is_same,
    same_arm_notes,
)
from holdfast.results.tables.grid import (
    BANNER,
    Entry,
    Table,
    TableBlock,
)
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.labels import Labels
from holdfast.settings.tables import GapTable
from holdfast.statistics import Change, Estimate, holm

HEADINGS = ("ρ", "f_ρ", "Robustness gap ↓", "|∇f_ρ|²", "tr H", "1 / tr H", "Theorem 4.4")
DIGITS = 9  # a change that is smaller is none
ABSENT = Entry("–")


def build(name: str, settings: GapTable, inputs: Inputs, context: Context) -> Table:
    """Build the table: a section an arm, a row a rho.

    The first row, at rho = 0, holds f and |grad f|^2 themselves. Raises HoldfastError naming what
    is missing or cannot be compared.
    """
    files, labels = inputs.gaps, context.labels
    arms = list(dict.fromkeys([*settings.arms, *settings.references.values()]))
    blocks, records = [], []
    models = models_of(Gap, files, settings.models)
    by_model = {model: around(files, model, arms) for model in models}
    pairs = _pairs(settings, by_model)
    changes = [change for pair in pairs for change in _changes(*pair)]
    stars = _stars(changes)
    for model, measured in by_model.items():
        for arm in settings.arms:
            now, before = measured[arm], measured.get(settings.references.get(arm, ""))
            title = labels.change(arm, before.arm) if before else labels.arm(arm)
            first = model if arm == settings.arms[0] else ""
            blocks.append(TableBlock(first, title, _rows(now, before, stars)))
            records += _records(model, now, before)
    return Table(
        name=name,
        title=settings.title,
        caption=settings.caption,
        banner=BANNER if context.meaningless else "",
        headings=HEADINGS,
        text_columns=1,
        blocks=tuple(blocks),
        notes=(
            *_notes(settings, by_model, len(changes), labels),
            *_same(pairs, by_model, labels),
        ),
        records=tuple(records),
    )


def verdict(change: Change) -> str:
    """Say whether a gap fell, by the 95 % interval of its change."""
    if change.high is not None and change.high < 0:
        return "supported"
    return "contradicted" if change.low is not None and change.low > 0 else "cannot tell"


def _pairs(
    settings: GapTable, by_model: dict[str, dict[str, Around]]
) -> list[tuple[Around, Around | None]]:
    """Return each arm beside its reference; a pair of several names comes once."""
    pairs: dict[tuple[str, ...], tuple[Around, Around | None]] = {}
    for measured in by_model.values():
        for arm in settings.arms:
            now, before = measured[arm], measured.get(settings.references.get(arm, ""))
            key = (now.model, *now.weights, *(before.weights if before else ()))
            pairs.setdefault(key, (now, before))
    return list(pairs.values())


def _same(
    pairs: Sequence[tuple[Around, Around | None]],
    by_model: dict[str, dict[str, Around]],
    labels: Labels,
) -> list[str]:
    """Say which arms are one, and what stands where they would be compared."""
    shown = [now for measured in by_model.values() for now in measured.values()]
    untested = any(before is not None and is_same(now, before) for now, before in pairs)
    return same_arm_notes(shown, labels) + [UNTESTED] * untested


def _changes(now: Around, before: Around | None) -> list[Change]:
    """Return the changes, rho by rho; none without a reference, or where that is the same arm."""
    if before is None or is_same(now, before):
        return []
    return [now.change(before, size) for size in range(len(now.rho))]


def _stars(changes: Sequence[Change]) -> dict[Change, str]:
    adjusted = holm([change.p_value or 0.0 for change in changes])
    return {
        change: "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))
        for change, p in zip(changes, adjusted, strict=True)
    }


def _rows(
    now: Around, before: Around | None, stars: dict[Change, str]
) -> tuple[tuple[Entry, ...], ...]:
    loss = float(now.losses.mean())
    square = ABSENT if now.square is None else Entry(_show(now.square))
    rows = [(Entry("0"), Entry(_show(loss)), ABSENT, square, ABSENT, ABSENT, ABSENT)]
    changes = _changes(now, before)
    same = before is not None and not changes
    for size, rho in enumerate(now.rho):
        gap, trace, smoothed = now.gap(size), now.trace(size), now.smoothed(size)
        gradient = ABSENT
        if smoothed is not None:
            value, error = smoothed
            gradient = Entry(_show(value), interval="" if error is None else f"SE {_show(error)}")
        change = changes[size] if changes else None
        told = SAME_ARM if same else verdict(change) if change else "–"
        rows.append(
            (
                Entry(f"{rho:g}"),
                Entry(_show(loss + gap.value)),
                _gap_cell(gap, change, stars, SAME_MARK if same else ""),
                gradient,
                Entry(_show(trace.value), interval=_interval(trace)),
                Entry(_show(1 / trace.value)) if (trace.low or 0) > 0 else ABSENT,
                Entry(told if now.step else "–"),
            )
        )
    return tuple(rows)


def _gap_cell(
    gap: Estimate, change: Change | None, stars: dict[Change, str], without: str
) -> Entry:
    """Format a gap and its change; ``without``: what stands where there is none."""
    plain = Entry(_show(gap.value), interval=_interval(gap), amount=without)
    if change is None:
        return plain
    return replace(
        plain,
        arrow=arrow(change.delta, DIGITS),
        amount=_show(abs(change.delta)),
        stars=stars[change],
        tone=tone(change.delta, "lower", DIGITS),
    )


def _records(model: str, now: Around, before: Around | None) -> list[Measurement]:
    def record(
        metric: str, estimate: Estimate, rho: float, change: Change | None = None
    ) -> Measurement:
        reference = before.arm if before and metric == "robustness_gap" else ""
        place = (model, now.arm, "rho", f"{rho:g}", metric)
        return Measurement(*place, "lower", estimate, reference, change)

    def plain(value: float) -> Estimate:
        return Estimate(value, None, None, len(now.losses), 1)

    records = [record("loss", plain(float(now.losses.mean())), 0)]
    if now.square is not None:
        records.append(record("squared_gradient", plain(now.square), 0))
    changes = _changes(now, before)
    for size, rho in enumerate(now.rho):
        change = changes[size] if changes else None
        records.append(record("robustness_gap", now.gap(size), rho, change))
        records.append(record("hessian_trace", now.trace(size), rho))
        smoothed = now.smoothed(size)
        if smoothed is not None:
            records.append(record("squared_gradient", plain(smoothed[0]), rho))
    if now.step:  # the first step's size over q / tr H
        ratio = now.step.size * now.step.trace / now.step.directions
        records.append(record("step_ratio", plain(ratio), 0))
    return records


def _notes(
    settings: GapTable, by_model: dict[str, dict[str, Around]], tests: int, labels: Labels
) -> tuple[str, ...]:
    every = [measured[arm] for measured in by_model.values() for arm in settings.arms]
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
    if any(now.square is not None for now in every):
        notes.append(
            "|∇f_ρ|²: unbiased, so an estimate may lie below zero; SE: its standard error. The row "
            "ρ = 0 holds f and |∇f|², which is exact."
        )
    if any(now.step and settings.references.get(now.arm) for now in every):
        notes.append(_theorem(settings, by_model, labels))
    notes += [_step(now, labels) for now in every if now.step]
    return tuple(notes)


def _theorem(settings: GapTable, by_model: dict[str, dict[str, Around]], labels: Labels) -> str:
    parents = [
        (model, measured[settings.references[arm]])
        for model, measured in by_model.items()
        for arm in settings.arms
        if measured[arm].step and arm in settings.references
    ]
    norms = dict.fromkeys(
        f"{labels.arm(now.arm)}{f' of {model}' if len(by_model) > 1 else ''}: "
        + ("not measured" if now.square is None else _show(math.sqrt(now.square)))
        for model, now in parents
    )
    return (
        "Theorem 4.4: from a stationary point of f, one zeroth-order step with a small enough "
        "learning rate lowers E Rob_ρ. Its premise, |∇f| = 0, is not met by a trained model "
        f"(|∇f| of {', '.join(norms)}), and an arm takes several steps, so what is checked is its "
        "conclusion: supported where the 95 % interval of the change lies below zero, contradicted "
        "where it lies above, and otherwise this cannot tell."
    )


def _step(now: Around, labels: Labels) -> str:
    step = now.step
    assert step is not None
    error = step.standard_error
    trace = f"{_show(step.trace)}{'' if error is None else f' ± {_show(error)}'}"
    seed = f", seed {now.files[0].seed}" if len(now.files) > 1 else ""
    told = (
        f"{labels.arm(now.arm)}{seed}: the first step has size {step.size:.3g} at the peak "
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
