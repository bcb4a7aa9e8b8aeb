"""Changes of a rate, paired by unit and by repeat.

Intervals given the repeats, by simulation (75 to 300 behaviors, rates of .02 to .5, one draw or
three correlated ones, nominal 95 %): Agresti and Min's pseudo-units cover in 94 % or more
everywhere, and in more than 97 % only where hardly anything changes. A bootstrap over behaviors
(BCa) covers in as few as 59 % of runs with one draw, since it cannot resample what was not seen.
"""

from __future__ import annotations

import math

import numpy as np

from holdfast.statistics.estimates import (
    Change,
    Counts,
    Spread,
    p_value,
    paired_repeats,
    quantile,
)
from holdfast.statistics.repeats import mean_components


def sign_flip(differences: Counts) -> float:
    """Return the exact two-sided sign-flip p-value of integer paired differences, shape (units,).

    Under the null each unit's difference is as likely to have the other sign; the distribution of
    the sum of +-|d_i| is built by convolution. With differences in {-1, 0, 1} this is McNemar's
    exact test.
    """
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return 1.0
    sizes = sizes // np.gcd.reduce(sizes)
    total = int(sizes.sum())
    # mass[t] is the probability that the sizes with a plus sign add up to t.
    mass = np.zeros(total + 1)
    mass[0] = 1.0
    for size in np.sort(sizes):
        shifted = np.zeros_like(mass)
        shifted[size:] = mass[:-size]
        mass = (mass + shifted) / 2
    positive = differences[differences > 0].sum() // np.gcd.reduce(np.abs(differences))
    extreme = min(int(positive), total - int(positive))
    return float(min(1.0, 2 * mass[: extreme + 1].sum()))


def rate_change(counts: Counts, draws: int, before: Counts, before_draws: int) -> Change:
    """Return the paired change of a rate against ``before``, whose draws may be fewer or more.

    Counts are of shape (units,), or (repeats, units) with ``draws`` looks in each repeat; one
    repeat on one side serves for all of the other.

    Given the repeats (one row): p by the exact sign-flip test over units, on differences over the
    common denominator of both numbers of draws; interval of Agresti and Min (2005), half a
    pseudo-unit in each of the four outcomes, so that identical outcomes still have a width. With
    repeats: their variance is added (see ``repeats``), p is Student's, and never below the exact p
    given the repeats.
    """
    here, there = np.atleast_2d(counts), np.atleast_2d(before)
    repeats = paired_repeats(here, there)
    common = math.lcm(draws, before_draws)
    differences = here * (common // draws) - there * (common // before_draws)
    totals, n, looks = differences.sum(axis=0), differences.shape[1], common * repeats
    delta = float(totals.sum() / (looks * n))
    d, size = totals / looks, n + 2
    center = d.sum() / size
    square = float((d**2).sum()) + _pseudo_square(here, draws, there, before_draws)
    variance = (square - size * center**2) / size**2
    p, freedom, between = sign_flip(totals), math.inf, 0.0
    if repeats > 1:
        components = mean_components(differences / common)
        between, freedom = components.between, components.freedom(variance)
        p = max(p, p_value(delta, math.sqrt(components.units + between), components.freedom()))
    half = quantile(freedom) * math.sqrt(variance + between)
    low, high = center - half, center + half
    typical = float((d**2).sum() / np.abs(d).sum()) if d.any() else 1.0
    spread = Spread(n, square / size, between, freedom, typical)
    return Change(delta, max(-1.0, float(low)), min(1.0, float(high)), p, spread)


def _pseudo_square(here: Counts, draws: int, there: Counts, before_draws: int) -> float:
    """Return the square that the four half pseudo-units add: one, shared out over several draws.

    A unit's mean over independent draws is as many times less variable; draws that agree add
    nothing. In between it is the share of one draw's mean square difference that the means keep.
    """
    after, before = here.sum(axis=0) / (draws * len(here)), there.sum(axis=0)
    before = before / (before_draws * len(there))
    one_draw = float((after + before - 2 * after * before).sum())
    kept = float(((after - before) ** 2).sum()) / one_draw if one_draw else 1.0
    fewest = min(draws * len(here), before_draws * len(there))
    return min(1.0, max(kept, 1 / fewest))
