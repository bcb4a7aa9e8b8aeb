"""Minimum detectable difference and needed n: McNemar's exact power, by enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from holdfast import statistics
from holdfast.statistics import (
    Spread,
    minimum_detectable,
    needed_n,
    noise_floor,
)
from holdfast.statistics.power import EXACT

fast = settings(max_examples=60, deadline=None)
spreads = st.builds(
    Spread,
    units=st.integers(20, 2000),
    discordance=st.floats(0.01, 0.6),
    between=st.floats(0.0001, 0.01),
    freedom=st.sampled_from([2.0, 4.0, 30.0]),
)


def exact_power(n: int, discordance: float, delta: float, alpha: float) -> float:
    """Return the unconditional power of the exact McNemar test."""
    discordance = max(discordance, delta)
    total = 0.0
    for pairs in range(n + 1):
        up = np.arange(pairs + 1)
        tail = np.minimum(up, pairs - up)
        p = np.minimum(1, 2 * stats.binom.cdf(tail, pairs, 0.5))
        chance = (1 + delta / discordance) / 2
        rejected = stats.binom.pmf(up, pairs, chance)[p < alpha].sum()
        total += stats.binom.pmf(pairs, n, discordance) * rejected
    return total


@pytest.mark.parametrize(("n", "discordance"), [(75, 0.15), (150, 0.1), (200, 0.3), (300, 0.05)])
@pytest.mark.parametrize("alpha", [0.05, 0.002])
def test_the_minimum_detectable_difference_is_found_in_four_of_five(
    n: int, discordance: float, alpha: float
) -> None:
    delta = minimum_detectable(Spread(n, discordance), alpha)
    assert delta is not None
    assert exact_power(n, discordance, delta, alpha) == pytest.approx(0.8, abs=1e-4)


def test_it_is_found_as_often_by_simulation() -> None:
    rng = np.random.default_rng(10)
    delta = minimum_detectable(Spread(150, 0.2))
    assert delta is not None
    found = 0
    for _ in range(1500):
        kind = rng.choice(3, size=150, p=[(0.2 + delta) / 2, (0.2 - delta) / 2, 0.8])
        change = statistics.rate_change((kind == 0).astype(int), 1, (kind == 1).astype(int), 1)
        found += change.p_value is not None and change.p_value < 0.05
    assert found / 1500 == pytest.approx(0.8, abs=0.03)


def test_the_normal_approximation_takes_over_where_it_is_good() -> None:
    here, there = (minimum_detectable(Spread(n, 0.2)) for n in (EXACT, EXACT + 1))
    assert there == pytest.approx(here, rel=0.03)


def test_several_draws_are_found_as_often_by_simulation() -> None:
    rng = np.random.default_rng(12)

    def sample(up: float, down: float) -> statistics.Change:
        chance = rng.choice([0.05, 0.5, 0.9], p=[0.5, 0.3, 0.2], size=150)[:, None]
        look = rng.random((150, 3))
        here, there = look < np.clip(chance + up, 0, 1), look < np.clip(chance + down, 0, 1)
        flip = rng.random((150, 3)) < 0.05
        return statistics.rate_change((here ^ flip).sum(axis=1), 3, there.sum(axis=1), 3)

    null = [sample(0.0, 0.0).spread for _ in range(40)]
    found = [minimum_detectable(spread) for spread in null if spread]
    delta = float(np.median([one for one in found if one is not None]))
    trials = [sample(delta, 0.0) for _ in range(600)]
    moved = float(np.mean([trial.delta for trial in trials])) - float(
        np.mean([sample(0.0, 0.0).delta for _ in range(200)])
    )
    assert moved == pytest.approx(delta, rel=0.15)
    hits = np.mean([trial.p_value is not None and trial.p_value < 0.05 for trial in trials])
    assert 0.7 < hits < 1


@fast
@given(spreads)
def test_needed_n_undoes_the_minimum_detectable_difference(spread: Spread) -> None:
    delta = minimum_detectable(spread)
    if delta is None:
        return
    needed = needed_n(delta * (1 + 1e-4), spread)
    assert needed is not None
    assert needed == pytest.approx(spread.units, rel=0.02, abs=1)


@fast
@given(spreads)
def test_more_units_find_less_and_stricter_levels_more(spread: Spread) -> None:
    more = Spread(4 * spread.units, spread.discordance, spread.between, spread.freedom)
    here, there = minimum_detectable(spread), minimum_detectable(more)
    strict = minimum_detectable(spread, alpha=0.001)
    if here is None:
        return
    assert there is not None
    assert there <= here
    assert strict is None or strict >= here


def test_what_no_number_of_units_shows_is_said() -> None:
    assert needed_n(0.0, Spread(100, 0.2)) is None
    between = Spread(100, 0.2, between=0.01, freedom=4)
    assert needed_n(0.1, between) is None
    assert needed_n(0.5, between) is not None
    assert minimum_detectable(Spread(2, 0.5)) is None


def test_needed_n_is_connetts_formula() -> None:
    psi, delta = 0.3, 0.02
    root = stats.norm.ppf(0.975) * math.sqrt(psi) + stats.norm.ppf(0.8) * math.sqrt(psi - delta**2)
    assert needed_n(delta, Spread(50, psi)) == math.ceil((root / delta) ** 2)
    exact = needed_n(0.1, Spread(50, 0.3))
    assert exact is not None
    assert exact_power(exact, 0.3, 0.1, 0.05) == pytest.approx(0.8, abs=0.01)


def test_a_change_carries_what_its_power_depends_on() -> None:
    here, there = np.array([1, 1, 0, 0, 1] * 20), np.array([1, 0, 1, 0, 1] * 20)
    spread = statistics.rate_change(here, 1, there, 1).spread
    assert spread == Spread(100, pytest.approx(41 / 102), 0.0, math.inf, 1.0)


def test_the_noise_floor_holds_the_next_meaningless_change() -> None:
    assert noise_floor([]) is None
    assert noise_floor([0.02]) == pytest.approx(stats.t.ppf(0.975, 1) * 0.02)
    rng = np.random.default_rng(6)
    moves = rng.normal(0, 0.03, size=(4000, 5))
    inside = [abs(row[4]) <= (noise_floor(list(row[:4])) or 0) for row in moves]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
