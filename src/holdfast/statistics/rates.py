"""Success rates of units, each looked at once or several times."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from holdfast.errors import HoldfastError
from holdfast.statistics.estimates import Counts, Estimate, quantile
from holdfast.statistics.repeats import mean_components


def successes(draws: Sequence[str], symbol: str = "1") -> Counts:
    """Return in how many draws each unit has ``symbol``: shape (units,).

    ``draws`` holds one string a draw, one character a unit. Raises HoldfastError when there are no
    draws, no units, or draws of different lengths.
    """
    lengths = {len(draw) for draw in draws}
    if len(lengths) != 1 or 0 in lengths:
        raise HoldfastError(
            f"outcome strings must be of one length above zero, not {sorted(lengths) or 'absent'}: "
            "delete this summary and run again"
        )
    table = np.array([np.frombuffer(draw.encode("ascii", "replace"), np.uint8) for draw in draws])
    return (table == ord(symbol)).sum(axis=0, dtype=np.int64)


def effective_size(counts: Counts, draws: int) -> float:
    """Return how many independent trials ``draws`` looks at each unit are worth.

    n D / deff, with deff from the cluster-robust variance of the rate; between n (every draw
    agrees) and n D (draws are independent). A rate of 0 or 1 has no variance to learn from: n.
    """
    n = len(counts)
    rates = counts / draws
    value = counts.sum() / (n * draws)
    if n == 1 or value in (0.0, 1.0):
        return float(n)
    variance = float(((rates - value) ** 2).sum()) / (n * (n - 1))
    binomial = value * (1 - value)
    return float(np.clip(binomial / variance if variance else math.inf, n, n * draws))


def rate(counts: Counts, draws: int) -> Estimate:
    """Return a success rate with its cluster-adjusted Wilson interval (plain Wilson at one draw).

    ``counts``: successes of each unit among ``draws``, shape (units,); or, where repeats are a
    level of their own, among the ``draws`` of each repeat, shape (repeats, units). Wilson (1927),
    with the effective sample size of Dean and Pagano (2015) in place of n; with repeats, that size
    and Student's quantile hold their variance too (see ``repeats``), unless the rate is 0 or 1,
    which shows none.
    """
    table = np.atleast_2d(counts)
    repeats, n = table.shape
    total, looks = table.sum(axis=0), draws * repeats
    value = float(total.sum() / (n * looks))
    size, times = effective_size(total, looks), quantile()
    if repeats > 1 and 0 < value < 1:
        components = mean_components(table / draws)
        units = value * (1 - value) / size
        times = quantile(components.freedom(units))
        size = value * (1 - value) / (units + components.between)
    low, high = wilson(value, size, times)
    return Estimate(value, min(low, value), max(high, value), n, looks)


def wilson(value: float, size: float, times: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of ``size`` trials, ``times`` standard errors wide."""
    penalty = times**2 / size
    center = (value + penalty / 2) / (1 + penalty)
    half = times * math.sqrt(value * (1 - value) / size + penalty / (4 * size)) / (1 + penalty)
    return max(0.0, center - half), min(1.0, center + half)
