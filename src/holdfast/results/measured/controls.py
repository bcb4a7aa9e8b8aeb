"""The noise floor of a cell: what its control arms, whose moves mean nothing, do to a rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.results.measured import cells
from holdfast.results.measured.metrics import Metric
from holdfast.results.measured.pooling import Cell, Pooled
from holdfast.results.measured.runs import Arms, require_same_behaviors
from holdfast.results.measured.same_arms import is_same
from holdfast.settings.labels import Labels
from holdfast.statistics import noise_floor

RATES = ("asr", "rate")


def controls_of(controls: Sequence[str], reference: str, parents: Mapping[str, str]) -> list[str]:
    """Return the controls that are made from the reference arm: moves that start there."""
    return [control for control in controls if parents.get(control) == reference]


def distinct_controls(
    arms: Arms, controls: Sequence[str], summary: Pooled, reference: Pooled, labels: Labels
) -> list[Pooled]:
    """Return the controls made from the reference, each once, without ``summary``'s own arm."""
    chosen: list[Pooled] = []
    for name in controls_of(controls, reference.arm, labels.parents):
        if name == summary.arm:
            continue
        control = arms.find(reference.model, name)
        if not any(is_same(control, other) for other in (summary, *chosen)):
            chosen.append(control)
    return chosen


def floor_of(
    arms: Arms,
    controls: Sequence[str],
    summary: Pooled,
    reference: Pooled,
    place: tuple[str, str],
    metric: Metric,
    labels: Labels,
) -> float | None:
    """Return the noise floor of ``summary``'s change from the reference's cell at ``place``.

    Over the controls made from the reference, ``summary``'s own arm left out, and their training
    seeds, each against the reference of the same seed. None for other metrics than rates, and
    where no control is left.
    """
    if metric.kind not in RATES:
        return None
    deltas: list[float] = []
    for control in distinct_controls(arms, controls, summary, reference, labels):
        require_same_behaviors(control, reference)
        cell = cells.cell_if_any(control, *place, labels)
        if cell is not None:
            there = _rates(cells.find_cell(reference, *place), metric, reference)
            deltas += [a - b for a, b in zip(_rates(cell, metric, control), there, strict=True)]
    return noise_floor(deltas)


def _rates(cell: Cell, metric: Metric, summary: Pooled) -> list[float]:
    """Return the rate of each training seed."""
    return cells.rates(cell, metric.name, len(summary.seeds))
