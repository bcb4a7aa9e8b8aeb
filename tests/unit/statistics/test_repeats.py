"""Training seeds and noise draws as a level of their own, against statsmodels and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.api import stats as sm_stats
from statsmodels.formula.api import ols

from holdfast import statistics
from holdfast.errors import HoldfastError
from holdfast.statistics import Change, Counts
from holdfast.statistics.repeats import mean_components

fast = settings(max_examples=60, deadline=None)


@st.composite
def sides(draw: st.DrawFn) -> tuple[Counts, Counts, int]:
    """Successes of two arms, each (repeats, units), among the draws of a repeat."""
    repeats, units = draw(st.integers(2, 5)), draw(st.integers(2, 25))
    draws = draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    chance = rng.random((repeats, 1)) * draw(st.sampled_from([0.1, 0.5, 1.0]))
    here, there = (rng.binomial(draws, chance, size=(repeats, units)) for _ in range(2))
    return here, there, draws


def width(change: Change) -> float:
    assert change.low is not None
    assert change.high is not None
    return change.high - change.low


def test_variances_are_those_of_the_two_way_table() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 30)) + rng.normal(size=(4, 1)) + rng.normal(size=30)
    repeat, unit = np.indices(values.shape)
    frame = pd.DataFrame({"y": values.ravel(), "repeat": repeat.ravel(), "unit": unit.ravel()})
    table = sm_stats.anova_lm(ols("y ~ C(repeat) + C(unit)", frame).fit())
    squares = table["mean_sq"] / values.size
    found = mean_components(values)
    assert found.units == pytest.approx(squares["C(unit)"])
    assert found.repeats == pytest.approx(squares["C(repeat)"])
    assert found.interaction == pytest.approx(squares["Residual"])
    assert found.between == pytest.approx(squares["C(repeat)"] - squares["Residual"])


def test_weights_count_units_several_times() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3, 400))
    even = mean_components(values)
    assert mean_components(values, np.full(400, 7.0)).units == pytest.approx(even.units)
    doubled = np.concatenate([values[:, :200], values[:, :200]], axis=1)
    weighted = mean_components(values[:, :200], np.full(200, 2.0))
    assert weighted.repeats == pytest.approx(mean_components(doubled).repeats)


@pytest.mark.parametrize("repeats", [2, 3, 5])
def test_units_that_agree_leave_the_t_test_over_repeats(repeats: int) -> None:
    """Where every window moves alike, only the seeds are left: scipy's t over their means."""
    rng = np.random.default_rng(repeats)
    shifts = rng.normal(0.02, 0.01, size=repeats)
    before = np.tile(rng.normal(2, 0.3, size=50), (repeats, 1))
    change = statistics.perplexity_change(before + shifts[:, None], before, np.ones(50))
    assert change.p_value == pytest.approx(stats.ttest_1samp(shifts, 0).pvalue)
    items = np.tile(rng.random(40), (repeats, 1))
    moved = statistics.accuracy_change([items + shifts[:, None]], [items])
    low, high = stats.t.interval(0.95, repeats - 1, shifts.mean(), stats.sem(shifts))
    assert (moved.low, moved.high) == pytest.approx((low, high))


@fast
@given(sides())
def test_one_repeat_is_the_plain_change(case: tuple[Counts, Counts, int]) -> None:
    here, there, draws = case
    alone = statistics.rate_change(here[:1], draws, there[:1], draws)
    plain = statistics.rate_change(here[0], draws, there[0], draws)
    assert alone == plain
    assert statistics.rate(here[:1], draws) == statistics.rate(here[0], draws)


@fast
@given(sides())
def test_swapping_the_sides_negates(case: tuple[Counts, Counts, int]) -> None:
    here, there, draws = case
    one = statistics.rate_change(here, draws, there, draws)
    other = statistics.rate_change(there, draws, here, draws)
    assert other.low is not None
    assert (other.delta, other.p_value) == pytest.approx((-one.delta, one.p_value))
    assert -other.low == pytest.approx(one.high)


@fast
@given(sides(), st.randoms(use_true_random=False))
def test_the_order_of_behaviors_and_of_seeds_is_nothing(
    case: tuple[Counts, Counts, int], random: Any
) -> None:
    here, there, draws = case
    units, repeats = list(range(here.shape[1])), list(range(len(here)))
    random.shuffle(units)
    random.shuffle(repeats)
    place = np.ix_(repeats, units)
    one = statistics.rate_change(here, draws, there, draws)
    other = statistics.rate_change(here[place], draws, there[place], draws)
    for name in ("delta", "low", "high", "p_value"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-12)
    a, b = statistics.rate(here, draws), statistics.rate(here[place], draws)
    assert (a.low, a.high) == pytest.approx((b.low, b.high))


@fast
@given(sides())
def test_repeats_never_add_certainty_beyond_that_given_them(
    case: tuple[Counts, Counts, int],
) -> None:
    here, there, draws = case
    looks = draws * len(here)
    sampled = statistics.rate_change(here, draws, there, draws)
    as_given = statistics.rate_change(here.sum(axis=0), looks, there.sum(axis=0), looks)
    assert sampled.delta == pytest.approx(as_given.delta)
    assert width(sampled) >= width(as_given) - 1e-12
    assert sampled.p_value is not None
    assert as_given.p_value is not None
    assert sampled.p_value >= as_given.p_value
    wide, narrow = statistics.rate(here, draws), statistics.rate(here.sum(axis=0), looks)
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high is not None
    assert wide.low is not None
    assert narrow.high is not None
    assert narrow.low is not None
    assert wide.high - wide.low >= narrow.high - narrow.low - 1e-12


def test_seeds_that_agree_are_one_seed_up_to_students_t() -> None:
    rng = np.random.default_rng(7)
    here, there = rng.integers(0, 2, size=(2, 200))
    once = statistics.rate_change(here, 1, there, 1)
    again = statistics.rate_change(np.tile(here, (4, 1)), 1, np.tile(there, (4, 1)), 1)
    ratio = stats.t.ppf(0.975, 199) / stats.norm.ppf(0.975)
    assert width(again) == pytest.approx(ratio * width(once), rel=1e-3)


def test_seeds_that_differ_are_what_the_interval_is_about() -> None:
    here = np.zeros((3, 100), dtype=np.int64)
    here[0, :60], here[1, :30] = 1, 1
    there = np.zeros_like(here)
    change = statistics.rate_change(here, 1, there, 1)
    low, high = stats.t.interval(0.95, 2, 0.3, stats.sem([0.6, 0.3, 0.0]))
    assert change.p_value == pytest.approx(stats.ttest_1samp([0.6, 0.3, 0.0], 0).pvalue, abs=0.02)
    assert width(change) == pytest.approx(high - low, rel=0.05)
    assert statistics.rate_change(here.sum(axis=0), 3, there.sum(axis=0), 3).p_value < 1e-9  # type: ignore[operator]


def test_a_reference_without_draws_serves_every_draw() -> None:
    rng = np.random.default_rng(9)
    here, there = rng.integers(0, 2, size=(3, 80)), rng.integers(0, 2, size=80)
    change = statistics.rate_change(here, 1, there, 1)
    repeated = statistics.rate_change(here, 1, np.tile(there, (3, 1)), 1)
    assert change.delta == pytest.approx(repeated.delta)
    assert change.p_value == pytest.approx(repeated.p_value)
    with pytest.raises(HoldfastError, match="same draws on both sides"):
        statistics.rate_change(here, 1, rng.integers(0, 2, size=(2, 80)), 1)


def test_rates_of_zero_and_one_show_no_variance_between_seeds() -> None:
    for value in (0, 2):
        counts = np.full((3, 20), value)
        assert statistics.rate(counts, 2) == statistics.rate(counts.sum(axis=0), 6)


def test_perplexity_over_seeds_is_wider_than_given_them() -> None:
    rng = np.random.default_rng(4)
    nll: NDArray[np.float64] = rng.normal(2, 0.05, size=(3, 60)) + np.array([[0], [0.1], [0.3]])
    tokens = np.full(60, 128.0)
    over = statistics.perplexity(nll, tokens, 3)
    given = statistics.perplexity(nll.mean(axis=0), tokens, 3)
    assert over.value == given.value
    assert over.high is not None
    assert given.high is not None
    half = stats.t.ppf(0.975, 2) * stats.sem(nll.mean(axis=1))
    assert math.log(over.high / over.value) == pytest.approx(half, rel=0.02)
    assert over.high > given.high + 0.5
