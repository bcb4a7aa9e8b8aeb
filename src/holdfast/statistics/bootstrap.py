"""The cluster bootstrap over units: bias-corrected and accelerated (BCa), seeded."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from holdfast.statistics.estimates import CONFIDENCE, Counts

RESAMPLES = 10_000


@lru_cache(maxsize=4)
def resamples(units: int) -> NDArray[np.float32]:
    """Return how often each resample draws each unit, shape (RESAMPLES, units).

    The seed is the shape, so the same data gives the same bytes.
    """
    generator = np.random.default_rng([RESAMPLES, units])
    counts = generator.multinomial(units, np.full(units, 1 / units), size=RESAMPLES)
    return counts.astype(np.float32)


def bca(values: Counts) -> tuple[float, float] | None:
    """Return the 95 % BCa interval of the mean of ``values``, shape (units,), resampling units.

    Efron (1987), with the jackknife's acceleration; ties count half. None when all values are
    equal (or there is one): their bootstrap has no spread, which is no certainty. Values are whole
    numbers, so that sums below 2^24 and hence ties are exact.
    """
    from scipy.stats import norm

    n = len(values)
    residuals = values - values.mean()
    if not np.any(values != values[0]):
        return None
    sums = resamples(n) @ values.astype(np.float32)
    total = float(values.sum())
    below = (np.mean(sums < total) + np.mean(sums <= total)) / 2
    bias = norm.ppf(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    acceleration = (residuals**3).sum() / (6 * (residuals**2).sum() ** 1.5)
    ends = bias + norm.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    shares = norm.cdf(bias + ends / (1 - acceleration * ends))
    low, high = np.quantile(sums.astype(np.float64), shares) / n
    return float(low), float(high)
