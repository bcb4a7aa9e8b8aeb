"""What an estimate and a change are, and the quantiles they share. All intervals are 95 %."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; ``None`` bounds where one unit allows no interval."""

    value: float
    low: float | None
    high: float | None
    units: int
    draws: int


@dataclass(frozen=True)
class Spread:
    """What a paired change of a rate would vary by if nothing had changed.

    ``discordance``: mean square of a unit's difference (with one draw, the share of units whose
    outcome differs). ``between``: variance that more units would not lessen, since it is between
    training seeds or noise draws. ``freedom``: degrees of freedom of the test; infinite for the
    exact one. ``size``: typical size of a difference that is not zero (one with one draw).
    """

    units: int
    discordance: float
    between: float = 0.0
    freedom: float = math.inf
    size: float = 1.0

    def of(self, units: int) -> Spread:
        """Return the same with another number of units."""
        return replace(self, units=units)

    @property
    def half(self) -> float:
        """Half the width of a 95 % interval without change."""
        return quantile(self.freedom) * math.sqrt(self.discordance / self.units + self.between)


@dataclass(frozen=True)
class Change:
    """Value minus reference, its interval, and the two-sided paired p-value."""

    delta: float
    low: float | None
    high: float | None
    p_value: float | None
    spread: Spread | None = field(default=None, compare=False)


def quantile(freedom: float = math.inf) -> float:
    """Return the two-sided 95 % quantile of Student's t (of the normal, without ``freedom``)."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))


def p_value(value: float, error: float, freedom: float = math.inf) -> float:
    """Return the two-sided p-value of ``value`` with a standard error."""
    from scipy.stats import t

    if error == 0:
        return float(value == 0)
    return float(2 * t.sf(abs(value) / error, freedom))


@dataclass(frozen=True)
class Mean:
    """A mean of independent values, its standard error and degrees of freedom."""

    value: float
    error: float
    freedom: int

    @property
    def half(self) -> float:
        """Half the width of its 95 % t interval."""
        return quantile(self.freedom) * self.error

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + self.half


def mean_of(values: Floats) -> Mean:
    """Return the mean of independent values, shape (at least two,)."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return Mean(float(values.mean()), error, len(values) - 1)


def require_pairs(here: int, there: int) -> None:
    """Raise HoldfastError when two sides of a change have different numbers of units."""
    if here != there:
        raise HoldfastError(
            f"a change needs the same units on both sides, but one summary has {here} and its "
            f"reference {there}: delete the older and run again"
        )


def paired_repeats(here: NDArray, there: NDArray) -> int:
    """Return the repeats of two sides, each (repeats, units); one alone serves for all.

    Raises HoldfastError when they cannot be paired.
    """
    require_pairs(here.shape[-1], there.shape[-1])
    repeats = {len(here), len(there)} - {1}
    if len(repeats) > 1:
        raise HoldfastError(
            f"a change needs the same draws on both sides, but one summary has {len(here)} and its "
            f"reference {len(there)}: delete the older and run again"
        )
    return max(repeats, default=1)
