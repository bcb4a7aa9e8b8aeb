"""What the data say about a claim: one estimate, its interval, and where it has one its test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from holdfast import statistics
from holdfast.errors import HoldfastError
from holdfast.results.measured import cells
from holdfast.results.measured.around import around
from holdfast.results.measured.controls import distinct_controls
from holdfast.results.measured.files import Cost, Gap, of_arm
from holdfast.results.measured.metrics import metric_of
from holdfast.results.measured.pooling import Cell, Pooled
from holdfast.results.measured.runs import Arms, require_same_behaviors
from holdfast.results.measured.same_arms import cell_key, is_same
from holdfast.settings.cells import level_name
from holdfast.settings.claims import (
    CostClaim,
    DirectionClaim,
    EqualClaim,
    GapClaim,
)
from holdfast.settings.labels import Labels
from holdfast.statistics import Counts, Floats, Spread

Cells = Sequence[Cell]
DIFFERENT = "stages measured in one way"
UNBROKEN = "a run that is not resumed"
MEASURED = "a cost above zero"


@dataclass(frozen=True)
class Evidence:
    """A change (of perplexity: its share of the reference's) or, of costs, a ratio.

    ``doubt``: what is missing before the number can be used, whatever it is.
    ``same``: two arms that are one, where that leaves nothing to compare.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    p_value: float | None = None
    spread: Spread | None = None
    noise_floor: float | None = None
    doubt: str = ""
    same: tuple[str, str] | None = None


def of_change(
    claim: DirectionClaim | EqualClaim,
    arms: Arms,
    model: str,
    controls: Sequence[str],
    labels: Labels,
) -> Evidence:
    """Return the paired change of a claim's metric, averaged over its cells.

    Units are paired as in ``cells.change``; every cell and judge weighs the same. Repeats (seeds,
    or else noise draws) are crossed with units, and a cell without draws is the same in each.
    Raises HoldfastError naming what is missing.
    """
    summary, other = arms.find(model, claim.arm), arms.find(model, claim.reference.arm)
    require_same_behaviors(summary, other)
    metrics = [metric_of(summary, name) for name in claim.metrics]
    here, there = _pairs(claim, summary, other, labels)
    if not here:
        return _of_one(summary.arm, other.arm, metrics[0].unit)
    kind = metrics[0].kind
    if kind == "perplexity":
        return _of_perplexity(here, there)
    if kind == "accuracy":
        return _of_accuracy(here, there)
    change = statistics.rate_change(*_pooled(here, claim.metrics), *_pooled(there, claim.metrics))
    n = len(here[0].outcomes[claim.metrics[0]][0])
    moved = distinct_controls(arms, controls, summary, other, labels)
    floor = _floor(claim.metrics, moved, other, there, labels)
    return Evidence(
        change.delta,
        change.low,
        change.high,
        n,
        metrics[0].unit,
        change.p_value,
        change.spread,
        floor,
    )


def _pairs(
    claim: DirectionClaim | EqualClaim, summary: Pooled, other: Pooled, labels: Labels
) -> tuple[list[Cell], list[Cell]]:
    """Return the claim's cells and their references, all parted into as many repeats or one.

    A cell is not compared with itself, by whatever name; none are left where that is all there is.
    """
    found = []
    same = False
    for cell in cells.select(summary, claim.perturbations, claim.levels, labels):
        here = (cell.perturbation, level_name(cell.level))
        there = ("none", "") if claim.reference.perturbation == "none" else here
        before = cells.cell_if_any(other, there[0], there[1], labels)
        if before is None or (summary.arm, *here) == (other.arm, *there):
            continue
        if cell_key(summary, here, labels) == cell_key(other, there, labels):
            same = True
        else:
            found.append((cell, before))
    if not found and same:
        return [], []
    if not found:
        raise HoldfastError(
            f"{summary.model}/{summary.arm} and {other.arm} have no cell to compare: "
            "name perturbations that both were tested under"
        )
    groups = math.gcd(*({cell.repeats for pair in found for cell in pair} - {1})) or 1
    here_there = [[_grouped(cell, groups) for cell in side] for side in zip(*found, strict=True)]
    return here_there[0], here_there[1]


def _grouped(cell: Cell, groups: int) -> Cell:
    return cell.model_copy(update={"repeats": groups if cell.repeats > 1 else 1})


def _pooled(side: Cells, judges: Sequence[str]) -> tuple[Counts, int]:
    """Return successes over cells and judges, (repeats, units), and the looks of one repeat."""
    parts = [cells.repeated_counts(cell, judge) for cell in side for judge in judges]
    common = math.lcm(*(draws for _, draws in parts))
    total = sum(_tall([hits * (common // draws) for hits, draws in parts]))
    return np.asarray(total), common * len(parts)


def _tall(tables: Sequence[Any]) -> list[Any]:
    """Return tables of shape (1 or repeats, units) with as many repeats each."""
    rows = max(len(table) for table in tables)
    return [np.broadcast_to(table, (rows, table.shape[1])) for table in tables]


def _mean(tables: Sequence[Floats]) -> Floats:
    return np.mean(_tall(tables), axis=0)


def _of_perplexity(here: Cells, there: Cells) -> Evidence:
    sides = [[cells.windows(cell) for cell in side] for side in (here, there)]
    tokens = sides[0][0][1]
    if not all(np.array_equal(tokens, other) for side in sides for _, other in side):
        raise HoldfastError("perplexity windows differ between summaries")
    after, before = (_mean([nll for nll, _ in side]) for side in sides)
    change = statistics.perplexity_change(after, before, tokens)
    ratio = statistics.perplexity(after - before, tokens, 1)
    low, high = (None if end is None else end - 1 for end in (ratio.low, ratio.high))
    return Evidence(ratio.value - 1, low, high, len(tokens), "windows", change.p_value)


def _of_accuracy(here: Cells, there: Cells) -> Evidence:
    sides = [[cells.tasks(cell) for cell in side] for side in (here, there)]
    names = list(sides[0][0])
    if any(list(one) != names for side in sides for one in side):
        raise HoldfastError("lm-eval tasks differ between summaries")
    after, before = ([_mean([one[task] for one in side]) for task in names] for side in sides)
    change = statistics.accuracy_change(after, before)
    items = sum(table.shape[1] for table in after)
    return Evidence(change.delta, change.low, change.high, items, "items", change.p_value)


def _of_one(arm: str, other: str, unit: str) -> Evidence:
    """Return what there is to say of two arms that are one: nothing was compared."""
    return Evidence(None, None, None, 0, unit, same=(arm, other))


def _floor(
    metrics: Sequence[str], controls: Sequence[Pooled], other: Pooled, there: Cells, labels: Labels
) -> float | None:
    """Return what meaningless moves of the reference arm do to the same average."""
    deltas: list[float] = []
    for control in controls:
        require_same_behaviors(control, other)
        places = [(cell.perturbation, level_name(cell.level)) for cell in there]
        moved = [
            c for p, v in places if (c := cells.cell_if_any(control, p, v, labels)) is not None
        ]
        if len(moved) < len(there):
            continue
        after, before = (
            np.mean(
                [cells.rates(c, m, len(other.seeds)) for c in side for m in metrics],
                axis=0,
            )
            for side in (moved, there)
        )
        deltas += [float(delta) for delta in after - before]
    return statistics.noise_floor(deltas)


def of_gap(claim: GapClaim, files: Sequence[Gap], model: str) -> Evidence:
    """Return the paired change of the robustness gap, in nats a response token.

    Raises HoldfastError naming a missing gap.json.
    """
    found = around(files, model, [claim.arm, claim.than])
    here, there = found[claim.arm], found[claim.than]
    seeds, draws = here.gaps.shape[1:]
    n, unit = (draws, "draws") if seeds == 1 else (seeds, "seeds")
    if here.arm != there.arm and is_same(here, there):
        return _of_one(here.arm, there.arm, unit)
    change = here.change(there, here.rho.index(claim.rho))
    return Evidence(change.delta, change.low, change.high, n, unit, change.p_value)


def of_cost(claim: CostClaim, costs: Sequence[Cost], model: str) -> Evidence:
    """Return the ratio of two arms' costs; with several seeds, a t interval of its logarithm.

    Raises HoldfastError naming a missing cost.json.
    """
    here, there = (of_arm(Cost, costs, model, arm) for arm in (claim.arm, claim.share_of))
    both = [*here, *there]
    doubt = ""
    if any(len({getattr(cost, field) for cost in both}) > 1 for field in ("device", "memory_kind")):
        doubt = DIFFERENT
    if claim.measure == "wall_s" and any(cost.resumed for cost in both):
        doubt = UNBROKEN
    values = [float(getattr(cost, claim.measure)) for cost in both]
    if min(values) <= 0 or len(here) != len(there):
        return Evidence(None, None, None, len(here), "seeds", doubt=doubt or MEASURED)
    logs = np.log(values[: len(here)]) - np.log(values[len(here) :])
    if len(logs) == 1:
        return Evidence(math.exp(logs[0]), None, None, 1, "seeds", doubt=doubt)
    mean = statistics.mean_of(logs)
    value, low, high = (math.exp(end) for end in (mean.value, mean.low, mean.high))
    return Evidence(value, low, high, len(logs), "seeds", doubt=doubt)
