"""Calibration by simulation: what intervals cover, and how often tests reject a true null.

A behavior is answered harmfully where a latent normal is above zero: a behavior's own part, a part
of every training seed or noise draw (shared by the arms, and an arm's own), and the rest, of which
the arms share half. So draws are correlated, arms are paired, and the true rates are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from holdfast import statistics
from holdfast.statistics import Change, Counts

RUNS = 1000
REST = 0.5


@dataclass
class Simulated:
    """Outcomes of two arms, (runs, repeats, units), and their true rates given the repeats."""

    here: Counts
    there: Counts
    truth: NDArray[np.float64]


def simulate(
    seed: int, *, units: int, repeats: int, rates: tuple[float, float], between: float
) -> Simulated:
    rng = np.random.default_rng(seed)

    def normal(variance: float, *shape: int) -> NDArray[np.float64]:
        return rng.normal(0, np.sqrt(variance), (RUNS, *shape))

    unit, shared = normal(1, 1, units), normal(between / 2, repeats, 1)
    rest = normal(REST / 2, repeats, units)
    outcomes, truths = [], []
    for rate in rates:
        shift = norm.ppf(rate) * np.sqrt(1 + REST + between) + shared
        shift = shift + normal(between / 2, repeats, 1)
        outcomes.append((shift + unit + rest + normal(REST / 2, repeats, units) > 0).astype(int))
        truths.append(norm.cdf(shift / np.sqrt(1 + REST)).mean(axis=(1, 2)))
    return Simulated(outcomes[0], outcomes[1], np.array(truths))


def holds(change: Change, truth: float) -> bool:
    assert change.low is not None
    assert change.high is not None
    return change.low - 1e-12 <= truth <= change.high + 1e-12


def rejects(change: Change) -> bool:
    return change.p_value is not None and change.p_value < 0.05


@pytest.mark.parametrize(
    ("repeats", "units", "rates"),
    [
        (1, 150, (0.3, 0.2)),
        (1, 300, (0.1, 0.05)),
        (3, 75, (0.3, 0.2)),
        (3, 150, (0.1, 0.05)),
        (3, 300, (0.5, 0.5)),
    ],
)
def test_given_the_draws_intervals_of_a_change_cover(
    repeats: int, units: int, rates: tuple[float, float]
) -> None:
    data = simulate(units + repeats, units=units, repeats=repeats, rates=rates, between=0.1)
    hits = 0
    for here, there, truth in zip(data.here, data.there, data.truth.T, strict=True):
        sides = here.sum(axis=0), repeats, there.sum(axis=0), repeats
        hits += holds(statistics.rate_change(*sides), truth[0] - truth[1])
    assert 0.93 <= hits / RUNS <= 0.975


def test_where_few_behaviors_change_intervals_cover() -> None:
    data = simulate(5, units=75, repeats=3, rates=(0.05, 0.05), between=0.1)
    hits = 0
    for here, there, truth in zip(data.here, data.there, data.truth.T, strict=True):
        sides = here.sum(axis=0), 3, there.sum(axis=0), 3
        hits += holds(statistics.rate_change(*sides), truth[0] - truth[1])
    assert hits / RUNS > 0.94


@pytest.mark.parametrize(("repeats", "units", "rate"), [(1, 150, 0.2), (3, 75, 0.1), (3, 150, 0.5)])
def test_given_the_draws_a_true_null_is_rejected_in_at_most_six_percent(
    repeats: int, units: int, rate: float
) -> None:
    data = simulate(units, units=units, repeats=repeats, rates=(rate, rate), between=0.0)
    found = sum(
        rejects(statistics.rate_change(here.sum(axis=0), repeats, there.sum(axis=0), repeats))
        for here, there in zip(data.here, data.there, strict=True)
    )
    assert 0.01 < found / RUNS <= 0.06


@pytest.mark.parametrize(
    ("seeds", "units", "rates", "between"),
    [
        (3, 75, (0.3, 0.3), 0.05),
        (3, 300, (0.3, 0.3), 0.03),
        (3, 300, (0.2, 0.2), 0.1),
        (3, 150, (0.3, 0.15), 0.05),
        (5, 75, (0.5, 0.5), 0.06),
        (5, 300, (0.2, 0.2), 0.05),
        (5, 150, (0.2, 0.1), 0.05),
    ],
)
def test_over_seeds_that_differ_intervals_cover_and_tests_hold_their_level(
    seeds: int, units: int, rates: tuple[float, float], between: float
) -> None:
    case = units + 7 * seeds
    data = simulate(case, units=units, repeats=seeds, rates=rates, between=between)
    changes = [
        statistics.rate_change(here, 1, there, 1)
        for here, there in zip(data.here, data.there, strict=True)
    ]
    covered = np.mean([holds(change, rates[0] - rates[1]) for change in changes])
    assert 0.93 <= covered <= 0.985
    if rates[0] == rates[1]:
        assert np.mean([rejects(change) for change in changes]) <= 0.06


def test_seeds_that_do_not_differ_cost_width_not_coverage() -> None:
    data = simulate(3, units=150, repeats=3, rates=(0.3, 0.3), between=0.0)
    pairs = zip(data.here, data.there, strict=True)
    changes = [statistics.rate_change(here, 1, there, 1) for here, there in pairs]
    assert np.mean([holds(change, 0.0) for change in changes]) >= 0.96
    assert np.mean([rejects(change) for change in changes]) <= 0.05


def test_taking_seeds_as_given_claims_far_too_much_about_others() -> None:
    data = simulate(4, units=300, repeats=3, rates=(0.3, 0.3), between=0.1)
    given = over = 0
    for here, there in zip(data.here, data.there, strict=True):
        given += rejects(statistics.rate_change(here.sum(axis=0), 3, there.sum(axis=0), 3))
        over += rejects(statistics.rate_change(here, 1, there, 1))
    assert given / RUNS > 0.4
    assert over / RUNS <= 0.06


@pytest.mark.parametrize(
    ("repeats", "units", "rate", "between"),
    [(1, 100, 0.2, 0.0), (3, 75, 0.3, 0.03), (3, 300, 0.2, 0.03), (5, 300, 0.3, 0.06)],
)
def test_intervals_of_a_rate_cover_over_seeds(
    repeats: int, units: int, rate: float, between: float
) -> None:
    data = simulate(repeats, units=units, repeats=repeats, rates=(rate, rate), between=between)
    found = [statistics.rate(one, 1) for one in data.here]
    covered = [one.low is not None and one.high is not None and one.low <= rate <= one.high
               for one in found]  # fmt: skip
    assert 0.93 <= np.mean(covered) <= 0.975
