"""What a paired comparison of rates could have found, with power .8 at a two-sided level.

Given the repeats, by the exact power of McNemar's exact test: among n units as many differ as the
discordance says, and the change leans them one way; a change larger than that makes more differ.
Several draws count as units that differ by their typical size. Beyond EXACT units, by the normal
approximation (Connett, Smith and McHugh 1987),

    delta = z_level sqrt(psi / n) + z_power sqrt((psi - delta^2) / n),

with psi the discordance; with repeats, their variance is added to both roots and Student's
quantiles replace the normal's.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from holdfast.statistics.estimates import Counts, Spread

ALPHA = 0.05
POWER = 0.8
EXACT = 2_000
MOST = 10**9


def power_of(delta: float, spread: Spread, alpha: float = ALPHA) -> float:
    """Return the chance that a change of ``delta`` is found at level ``alpha``."""
    from scipy.stats import t

    if spread.freedom == math.inf and spread.units <= EXACT:
        return _mcnemar(delta, spread, alpha)
    psi = max(spread.discordance, delta)
    null = math.sqrt(psi / spread.units + spread.between)
    true = math.sqrt((psi - delta**2) / spread.units + spread.between)
    beyond = delta - float(t.ppf(1 - alpha / 2, spread.freedom)) * null
    return float(t.cdf(beyond / true, spread.freedom)) if true else float(beyond > 0)


def minimum_detectable(spread: Spread, alpha: float = ALPHA) -> float | None:
    """Return the smallest change found with power .8 at ``alpha``; None if none would be."""
    from scipy.optimize import brentq

    def surplus(delta: float) -> float:
        return power_of(delta, spread, alpha) - POWER

    return float(brentq(surplus, 0.0, 1.0, xtol=1e-6)) if surplus(1.0) >= 0 else None


def needed_n(delta: float, spread: Spread, alpha: float = ALPHA) -> int | None:
    """Return the units needed to find ``delta`` with power .8, the repeats staying as they are.

    None where no number of units would do: no change, or one within what differs between repeats.
    """
    delta = abs(delta)

    def enough(units: int) -> bool:
        return power_of(delta, spread.of(units), alpha) >= POWER

    if delta == 0 or not enough(MOST):
        return None
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _mcnemar(delta: float, spread: Spread, alpha: float) -> float:
    """Return the unconditional power of the exact test, over the number of units that differ."""
    from scipy.stats import binom

    size = max(spread.size, delta)
    differ = min(1.0, max(spread.discordance / size**2, delta / size))
    leaning = (1 + delta / (size * differ)) / 2
    pairs = np.arange(spread.units + 1)
    few = _critical(spread.units, alpha)
    rejected = binom.cdf(few, pairs, leaning) + binom.sf(pairs - few - 1, pairs, leaning)
    return float((binom.pmf(pairs, spread.units, differ) * rejected).sum())


@lru_cache(maxsize=16)
def _critical(units: int, alpha: float) -> Counts:
    """Return, for each number of pairs that differ, how few one way are significant; -1: none."""
    from scipy.stats import binom

    pairs = np.arange(units + 1)
    few = binom.ppf(alpha / 2, pairs, 0.5).astype(np.int64)
    return few - (2 * binom.cdf(few, pairs, 0.5) >= alpha)
