"""What was measured around arms: robustness gap, curvature and gradients, with their errors.

The draws v of one seed are common to all arms and every rho, so changes are paired by draw. Several
training seeds are clusters: each counts once, by its mean over draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from holdfast.errors import HoldfastError, nearest
from holdfast.statistics import (
    CONFIDENCE,
    Change,
    Estimate,
    Floats,
)

Gap = Mapping[str, Any]
SAME = ("rho", "samples", "data_sha256")


@dataclass(frozen=True)
class Around:
    """One arm of one model. ``gaps`` has shape (rho, seeds, draws), ``losses`` (seeds,)."""

    arm: str
    rho: tuple[float, ...]
    losses: Floats
    gaps: Floats
    files: tuple[Gap, ...]

    def gap(self, size: int) -> Estimate:
        """Return Rob_rho at the ``size``-th rho with its 95 % t interval."""
        return _estimate(self.gaps[size])

    def trace(self, size: int) -> Estimate:
        """Return 2 Rob_rho / rho^2: the trace of the Hessian of f smoothed at scale rho."""
        return _estimate(2 * self.gaps[size] / self.rho[size] ** 2)

    def change(self, before: Around, size: int) -> Change:
        """Return the change of Rob_rho from ``before``, paired; p from the t-test."""
        from scipy.stats import t

        _require(self.gaps.shape == before.gaps.shape, before.arm, "draws or seeds")
        mean, error, freedom = _mean(self.gaps[size] - before.gaps[size])
        half = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
        p_value = float(2 * t.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
        return Change(mean, mean - half, mean + half, p_value)

    @property
    def square(self) -> float | None:
        """|grad f(theta)|^2, averaged over seeds; None where it was not measured."""
        found = [one["gradient"] for one in self.files]
        return float(np.mean([one["square"] for one in found])) if all(found) else None

    def smoothed(self, size: int) -> tuple[float, float | None] | None:
        """Return |grad f_rho(theta)|^2 and its standard error; None where it was not measured."""
        if not all(one["gradient"] for one in self.files):
            return None
        found = [one["gradient"]["smoothed"][size] for one in self.files]
        if len(found) == 1:
            return found[0][0], found[0][1]
        values = np.asarray([value for value, _ in found], np.float64)
        return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))

    @property
    def step(self) -> dict[str, Any] | None:
        """What the first seed's zeroth-order log tells of its learning rate; None: no such log."""
        found: dict[str, Any] | None = self.files[0]["step"]
        return found


def around(files: Sequence[Gap], model: str, arms: Sequence[str]) -> dict[str, Around]:
    """Pool the seeds of a model's arms, from the content of gap.json files.

    Raises:
        HoldfastError: an arm's file is missing, or arms were measured in different ways.
    """
    found = {arm: _pooled(files, model, arm) for arm in arms}
    first = found[arms[0]].files[0]
    for arm, one in found.items():
        for name in SAME:
            same = all(file[name] == first[name] for file in one.files)
            _require(same, arm, "rho" if name == "rho" else "safety pairs")
    return found


def models_of(files: Sequence[Gap], wanted: Any) -> list[str]:
    """Return the models shown: those wanted, or all there are."""
    present = list(dict.fromkeys(one["model"] for one in files))
    if not present:
        raise HoldfastError("there is no gap.json to show: measure an arm first")
    return present if wanted == "all" else list(wanted)


def _pooled(files: Sequence[Gap], model: str, arm: str) -> Around:
    found = [one for one in files if (one["model"], one["arm"]) == (model, arm)]
    if not found:
        has = list(dict.fromkeys(f"{one['model']}/{one['arm']}" for one in files))
        raise HoldfastError(
            f"the gap.json of model '{model}', arm '{arm}' is missing: there is "
            f"{', '.join(has) or 'none'}{nearest(f'{model}/{arm}', has)}"
        )
    found.sort(key=lambda one: int(one["seed"]))
    _require(len({len(one["plus"][0]) for one in found}) == 1, arm, "draws")
    losses = np.asarray([one["loss"] for one in found], np.float64)
    plus, minus = (np.asarray([one[way] for one in found], np.float64) for way in ("plus", "minus"))
    gaps = (plus + minus) / 2 - losses[:, None, None]
    return Around(arm, tuple(found[0]["rho"]), losses, gaps.transpose(1, 0, 2), tuple(found))


def _require(same: bool, arm: str, what: str) -> None:
    if not same:
        raise HoldfastError(
            f"the gap of '{arm}' was measured with other {what} than another arm's or seed's: "
            "delete the older gap.json and run again"
        )


def _mean(values: Floats) -> tuple[float, float, int]:
    """Return mean, standard error and degrees of freedom of values of shape (seeds, draws)."""
    units = values[0] if len(values) == 1 else values.mean(axis=1)
    error = float(units.std(ddof=1)) / math.sqrt(len(units))
    return float(units.mean()), error, len(units) - 1


def _estimate(values: Floats) -> Estimate:
    from scipy.stats import t

    mean, error, freedom = _mean(values)
    half = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Estimate(mean, mean - half, mean + half, freedom + 1, values.size)
