"""Units crossed with repeats: training seeds, or noise draws, as a level of their own.

Every repeat looks at the same units, so a mean over both has two sources of chance: other units,
and other repeats. For exchangeable units and repeats

    V = V_units + V_repeats - V_interaction,

where the variance between unit means, and that between repeat means, each hold the interaction
once (two-way random effects without replication; the decomposition that Owen's pigeonhole
bootstrap, 2007, estimates). V_repeats - V_interaction is cut at zero. The quantile is Student's
with Satterthwaite's (1946) degrees of freedom, V_repeats counted twice in them since the cut makes
the plain formula too sure of itself, and never fewer than repeats - 1.

By simulation with 3 and 5 seeds, 75 to 300 behaviors, rates of .05 to .5, and seeds that shift a
behavior's latent normal by up to a third of its spread, nominal 95 % intervals of a change cover in
94 to 99 % of runs (above 97 % where seeds hardly differ, which so few cannot show), and tests
reject a true null in 1 to 5.6 %. The same tests with the repeats taken as given reject up to 73 %.
Plain Satterthwaite rejects up to 6.3 %, and repeats - 1 degrees of freedom throughout cover nearly
always. Intervals of a rate cover in 93 to 98 %; in 91 % for rates near .1 that seeds move by as
much as their own size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.statistics.estimates import Floats


@dataclass(frozen=True)
class Components:
    """Variances of a mean over ``size`` units and ``count`` repeats."""

    units: float
    repeats: float
    interaction: float
    size: int
    count: int

    @property
    def between(self) -> float:
        """Variance that other repeats add, beyond their interaction with the units."""
        return max(0.0, self.repeats - self.interaction)

    def freedom(self, units: float | None = None) -> float:
        """Return the degrees of freedom; ``units`` replaces the units' variance."""
        units = self.units if units is None else units
        rest = max(1, self.size - 1)
        if self.count == 1:
            return rest
        noise = 2 * self.repeats**2 / (self.count - 1) + units**2 / rest
        freedom = (units + self.between) ** 2 / noise if noise else 0.0
        return max(self.count - 1, freedom)


def components(values: Floats, influence: Floats) -> Components:
    """Return the variances of the mean of ``values``, one a repeat.

    ``influence``: what each unit moves its repeat's value by, with the n / (n - 1) correction in
    it, shape (repeats, units).
    """
    count = len(values)
    pairs = max(1, count * (count - 1))
    mean = influence.mean(axis=0)
    return Components(
        float((mean**2).sum()),
        float(((values - values.mean()) ** 2).sum()) / pairs,
        float(((influence - mean) ** 2).sum()) / pairs,
        influence.shape[1],
        count,
    )


def mean_components(values: Floats, weights: Floats | None = None) -> Components:
    """Return the variances of the (weighted) mean of values of shape (repeats, units)."""
    size = values.shape[1]
    weights = np.ones(size) if weights is None else weights
    means = np.average(values, axis=1, weights=weights)
    scale = np.sqrt(size / max(1, size - 1)) / weights.sum()
    return components(means, scale * weights * (values - means[:, None]))
