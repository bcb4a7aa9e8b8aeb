"""Agreement of two judges, with error bars over behaviors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from holdfast.statistics import (
    Counts,
    Estimate,
    Floats,
    quantile,
    rate,
)


@dataclass(frozen=True)
class Agreement:
    """How often two judges say the same.

    ``both``, ``first``, ``second``: share of looks that both, only the first or only the second
    call an attack success. ``kappa`` is None where it is undefined: all looks got one verdict.
    """

    observed: Estimate
    kappa: Estimate | None
    both: float
    first: float
    second: float


def agreement(first: Counts, second: Counts) -> Agreement:
    """Compare two judges' verdicts on the same looks at the same behaviors.

    ``first``, ``second``: 1 for an attack success and 0 for none, shape (units, looks). Looks at
    one behavior (draws, levels, arms) are clustered: they never multiply the behaviors.

    The interval of kappa is normal, with the delta method's variance (Fleiss, Cohen and Everitt,
    1969) from behaviors. As for a paired change, half a pseudo-behavior in each of the four
    outcomes is added to it, so that judges that never differ still have a width.
    """
    units, looks = first.shape
    outcomes = (first & second, first & ~second & 1, second & ~first & 1)
    shares = np.stack([outcome.mean(axis=1) for outcome in outcomes], axis=1)
    both, only_first, only_second = map(float, shares.mean(axis=0))
    observed = rate((first == second).sum(axis=1), looks)
    plain = kappa(shares, np.ones(units))
    if plain is None:
        return Agreement(observed, None, both, only_first, only_second)
    padded = np.concatenate([shares, np.eye(4, 3)])
    center, error = kappa(padded, np.append(np.ones(units), np.full(4, 0.5))) or plain
    half = quantile() * error
    low, high = max(-1.0, center - half), min(1.0, center + half)
    value = plain[0]
    estimate = Estimate(value, min(low, value), max(high, value), units, looks)
    return Agreement(observed, estimate, both, only_first, only_second)


def kappa(shares: Floats, weights: Floats) -> tuple[float, float] | None:
    """Return Cohen's kappa (1960) and its standard error, or None where it is undefined.

    ``shares``: of each unit's looks, those that both judges, only the first and only the second
    call a success, shape (units, 3); ``weights``: how often each unit counts, shape (units,).
    """
    total = weights.sum()
    both, only_first, only_second = weights @ shares / total
    first, second = both + only_first, both + only_second
    expected = first * second + (1 - first) * (1 - second)
    if expected == 1:
        return None
    differ = only_first + only_second
    value = 1 - differ / (1 - expected)
    # What each unit adds to the two judges' rates of success, and to how often they differ.
    moved = shares - weights @ shares / total
    by_first, by_second = moved[:, 0] + moved[:, 1], moved[:, 0] + moved[:, 2]
    moved_expected = (2 * second - 1) * by_first + (2 * first - 1) * by_second
    moved_differ = moved[:, 1] + moved[:, 2]
    influence = -moved_differ / (1 - expected) - differ / (1 - expected) ** 2 * moved_expected
    return float(value), math.sqrt(weights @ influence**2) / float(total)
