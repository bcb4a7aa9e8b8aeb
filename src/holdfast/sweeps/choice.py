"""The points of a sweep as they were scored, and the rule that chooses one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from holdfast.errors import HoldfastError
from holdfast.statistics import (
    Counts,
    Estimate,
    mean_of,
    rate,
    successes,
)
from holdfast.sweeps.validation import DivergedPoint, ScoredPoint

PointFile = ScoredPoint | DivergedPoint
CellName = tuple[str, str]  # perturbation, level


@dataclass(frozen=True)
class Scored:
    """One point of one model, its training seeds pooled.

    ``gaps`` are over draws of all seeds; ``cells`` hold each behavior's successes and the number
    of draws; ``refusals`` each benign prompt's, None where none were asked.
    """

    name: str
    values: dict[str, JsonValue]
    move: float
    loss: float
    gaps: NDArray[np.float64]
    cells: dict[CellName, tuple[Counts, int]]
    refusals: tuple[Counts, int] | None

    @property
    def gap(self) -> Estimate:
        """Mean robustness gap with its 95 % t interval over draws."""
        mean = mean_of(self.gaps)
        return Estimate(mean.value, mean.low, mean.high, len(self.gaps), len(self.gaps))

    @property
    def looks(self) -> tuple[Counts, int]:
        """Successes and draws over all perturbations, or unperturbed where there are none."""
        perturbed = [looks for (name, _), looks in self.cells.items() if name != "none"]
        parts = perturbed or list(self.cells.values())
        return np.sum([counts for counts, _ in parts], axis=0), sum(draws for _, draws in parts)

    @property
    def asr(self) -> Estimate:
        """Mean validation ASR over all perturbations."""
        return rate(*self.looks)


@dataclass(frozen=True)
class Lost:
    """One point of one model that diverged under some training seed, and what was said then."""

    name: str
    values: dict[str, JsonValue]
    said: str


Outcome = Scored | Lost


def scored(files: Sequence[PointFile]) -> dict[str, list[Outcome]]:
    """Pool validation.json files over seeds: points by model, in the order given.

    Raises:
        HoldfastError: points were scored on different behaviors.
    """
    groups: dict[str, dict[str, list[PointFile]]] = {}
    for file in files:
        groups.setdefault(file.model, {}).setdefault(file.point, []).append(file)
    if len({file.behaviors_sha256 for file in files if isinstance(file, ScoredPoint)}) > 1:
        raise HoldfastError("the points were scored on different behaviors: delete the older ones")
    return {
        model: [_pooled(name, seeds) for name, seeds in points.items()]
        for model, points in groups.items()
    }


def kept(points: Sequence[Outcome]) -> list[Scored]:
    """Return the points that did not diverge."""
    return [point for point in points if isinstance(point, Scored)]


def choose(points: Sequence[Outcome], by: Literal["asr", "gap"]) -> Scored | None:
    """Return the point with the lowest mean ASR or gap, or one as good that moved less.

    Points that diverged are never chosen; where all did, None is.

    As good is a point whose mean is within one standard error of the lowest, both taken over the
    paired differences (behaviors, or draws of the noise): Breiman's one-standard-error rule with
    the smallest move in the place of the simplest model.
    """
    scores = kept(points)
    if not scores:
        return None
    units = [_units(point, by) for point in scores]
    best = min(range(len(scores)), key=lambda i: (float(units[i].mean()), scores[i].move, i))
    behind = [unit - units[best] for unit in units]
    # One behavior's difference is one standard error exactly, so rounding must not decide.
    good = [i for i, d in enumerate(behind) if float(d.mean()) <= (1 + 1e-9) * _standard_error(d)]
    return scores[min(good, key=lambda i: (scores[i].move, i))]


def _units(point: Scored, by: Literal["asr", "gap"]) -> NDArray[np.float64]:
    if by == "gap":
        return point.gaps
    counts, draws = point.looks
    return counts / draws


def _standard_error(values: NDArray[np.float64]) -> float:
    if len(values) < 2:
        return 0.0
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _pooled(name: str, files: Sequence[PointFile]) -> Outcome:
    lost = [file for file in files if isinstance(file, DivergedPoint)]
    if lost:
        said = "; ".join(f"seed {file.seed}: {file.diverged}" for file in lost)
        return Lost(name, lost[0].values, said)
    seeds = [file for file in files if isinstance(file, ScoredPoint)]
    cells: dict[CellName, list[str]] = {}
    for seed in seeds:
        for cell in seed.cells:
            cells.setdefault((cell.perturbation, cell.level), []).extend(cell.outcomes)
    refusals = [seed.over_refusal for seed in seeds if seed.over_refusal]
    return Scored(
        name,
        seeds[0].values,
        float(np.mean([seed.move for seed in seeds])),
        float(np.mean([seed.loss for seed in seeds])),
        np.concatenate([np.asarray(seed.gaps, np.float64) for seed in seeds]),
        {place: (successes(draws), len(draws)) for place, draws in cells.items()},
        (successes(refusals), len(refusals)) if refusals else None,
    )
