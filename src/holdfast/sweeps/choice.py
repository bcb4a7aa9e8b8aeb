"""The points of a sweep as they were scored, and the rule that chooses one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError
from holdfast.statistics import (
    Counts,
    Estimate,
    mean_of,
    rate,
    successes,
)

Scores = Mapping[str, Any]
CellName = tuple[str, str]  # perturbation, level


@dataclass(frozen=True)
class Scored:
    """One point of one model, its training seeds pooled.

    ``gaps`` are over draws of all seeds; ``cells`` hold each behavior's successes and the number
    of draws; ``refusals`` each benign prompt's, None where none were asked.
    """

    name: str
    values: dict[str, Any]
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
        perturbed = [found for (name, _), found in self.cells.items() if name != "none"]
        looks = perturbed or list(self.cells.values())
        return np.sum([counts for counts, _ in looks], axis=0), sum(draws for _, draws in looks)

    @property
    def asr(self) -> Estimate:
        """Mean validation ASR over all perturbations."""
        return rate(*self.looks)


@dataclass(frozen=True)
class Lost:
    """One point of one model that diverged under some training seed, and what was said then."""

    name: str
    values: dict[str, Any]
    said: str


Outcome = Scored | Lost


def scored(files: Sequence[Scores]) -> dict[str, list[Outcome]]:
    """Pool the content of validation.json files over seeds: points by model, in the order given.

    Raises:
        HoldfastError: points were scored on different behaviors.
    """
    groups: dict[str, dict[str, list[Scores]]] = {}
    for one in files:
        groups.setdefault(one["model"], {}).setdefault(one["point"], []).append(one)
    if len({one["behaviors_sha256"] for one in files if "diverged" not in one}) > 1:
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


def _pooled(name: str, seeds: Sequence[Scores]) -> Outcome:
    said = [f"seed {one['seed']}: {one['diverged']}" for one in seeds if "diverged" in one]
    if said:
        return Lost(name, seeds[0]["values"], "; ".join(said))
    cells: dict[CellName, list[str]] = {}
    for one in seeds:
        for cell in one["cells"]:
            place = cell["perturbation"], cell["level"]
            cells.setdefault(place, []).extend(cell["outcomes"])
    refusals = [one["over_refusal"] for one in seeds if one["over_refusal"]]
    return Scored(
        name,
        seeds[0]["values"],
        float(np.mean([one["move"] for one in seeds])),
        float(np.mean([one["loss"] for one in seeds])),
        np.concatenate([np.asarray(one["gaps"], np.float64) for one in seeds]),
        {place: (successes(draws), len(draws)) for place, draws in cells.items()},
        (successes(refusals), len(refusals)) if refusals else None,
    )
