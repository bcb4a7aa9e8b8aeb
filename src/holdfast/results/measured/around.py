"""What was measured around arms: robustness gap, curvature and gradients, with their errors.

The draws v of one seed are common to all arms and every rho, so changes are paired by draw. Several
training seeds are clusters: each counts once, by its mean over draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.errors import HoldfastError
from holdfast.results.measured.files import FirstStep, Gap, of_arm
from holdfast.statistics import Change, Estimate, Floats, Mean, mean_of, p_value

SAME = ("rho", "samples", "data_sha256")


@dataclass(frozen=True)
class Around:
    """One arm of one model. ``gaps`` has shape (rho, seeds, draws), ``losses`` (seeds,)."""

    arm: str
    rho: tuple[float, ...]
    losses: Floats
    gaps: Floats
    files: tuple[Gap, ...]

    @property
    def model(self) -> str:
        """The model that it is an arm of."""
        return self.files[0].model

    @property
    def weights(self) -> tuple[str, ...]:
        """A digest a seed, which arms with the same weights share."""
        return tuple(file.weights for file in self.files)

    def gap(self, size: int) -> Estimate:
        """Return Rob_rho at the ``size``-th rho with its 95 % t interval."""
        return _estimate(self.gaps[size])

    def trace(self, size: int) -> Estimate:
        """Return 2 Rob_rho / rho^2: the trace of the Hessian of f smoothed at scale rho."""
        return _estimate(2 * self.gaps[size] / self.rho[size] ** 2)

    def change(self, before: Around, size: int) -> Change:
        """Return the change of Rob_rho from ``before``, paired; p from the t-test."""
        _require(self.gaps.shape == before.gaps.shape, before.arm, "draws or seeds")
        mean = _mean(self.gaps[size] - before.gaps[size])
        p = p_value(mean.value, mean.error, mean.freedom)
        return Change(mean.value, mean.low, mean.high, p)

    @property
    def square(self) -> float | None:
        """|grad f(theta)|^2, averaged over seeds; None where it was not measured."""
        gradients = [file.gradient for file in self.files if file.gradient]
        if len(gradients) < len(self.files):
            return None
        return float(np.mean([gradient.square for gradient in gradients]))

    def smoothed(self, size: int) -> tuple[float, float | None] | None:
        """Return |grad f_rho(theta)|^2 and its standard error; None where it was not measured."""
        squares = [file.gradient.smoothed[size] for file in self.files if file.gradient]
        if len(squares) < len(self.files):
            return None
        if len(squares) == 1:
            return squares[0]
        mean = mean_of(np.asarray([value for value, _ in squares], np.float64))
        return mean.value, mean.error

    @property
    def step(self) -> FirstStep | None:
        """What the first seed's zeroth-order log tells of its learning rate; None: no such log."""
        return self.files[0].step


def around(files: Sequence[Gap], model: str, arms: Sequence[str]) -> dict[str, Around]:
    """Pool the seeds of a model's arms, from the content of gap.json files.

    Raises:
        HoldfastError: an arm's file is missing, or arms were measured in different ways.
    """
    measured = {arm: _pooled(files, model, arm) for arm in arms}
    first = measured[arms[0]].files[0]
    for arm, pooled in measured.items():
        for name in SAME:
            same = all(getattr(file, name) == getattr(first, name) for file in pooled.files)
            _require(same, arm, "rho" if name == "rho" else "safety pairs")
    return measured


def _pooled(files: Sequence[Gap], model: str, arm: str) -> Around:
    seeds = sorted(of_arm(Gap, files, model, arm), key=lambda file: file.seed)
    _require(len({len(file.plus[0]) for file in seeds}) == 1, arm, "draws")
    losses = np.asarray([file.loss for file in seeds], np.float64)
    plus = np.asarray([file.plus for file in seeds], np.float64)
    minus = np.asarray([file.minus for file in seeds], np.float64)
    gaps = (plus + minus) / 2 - losses[:, None, None]
    return Around(arm, tuple(seeds[0].rho), losses, gaps.transpose(1, 0, 2), tuple(seeds))


def _require(same: bool, arm: str, what: str) -> None:
    if not same:
        raise HoldfastError(
            f"the gap of '{arm}' was measured with other {what} than another arm's or seed's: "
            "delete the older gap.json and run again"
        )


def _mean(values: Floats) -> Mean:
    """Return the mean of values of shape (seeds, draws); several seeds are the sample."""
    return mean_of(values[0] if len(values) == 1 else values.mean(axis=1))


def _estimate(values: Floats) -> Estimate:
    mean = _mean(values)
    return Estimate(mean.value, mean.low, mean.high, mean.freedom + 1, values.size)
