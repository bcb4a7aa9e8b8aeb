"""The BCa bootstrap against scipy's, and where it has nothing to resample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from holdfast import statistics
from holdfast.statistics.bootstrap import RESAMPLES, bca, resamples

several = st.lists(st.integers(-3, 3), min_size=2, max_size=40).filter(lambda d: len(set(d)) > 1)


@dataclass
class Given:
    """What scipy wants of an earlier bootstrap."""

    bootstrap_distribution: NDArray[np.float64]


@settings(max_examples=30, deadline=None)
@given(several)
def test_it_is_scipys_on_the_same_resamples(values: list[int]) -> None:
    differences = np.array(values)
    means = resamples(len(values)).astype(np.float64) @ differences / len(values)
    expected = stats.bootstrap(
        (differences,), np.mean, method="BCa", n_resamples=0, bootstrap_result=Given(means)
    ).confidence_interval
    found = bca(differences)
    assert found is not None
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_it_agrees_with_scipys_own_paired_resamples() -> None:
    rng = np.random.default_rng(3)
    here = rng.integers(0, 4, size=120)
    there = np.clip(here + rng.integers(-2, 2, size=120), 0, 3)
    expected = stats.bootstrap(
        (here, there),
        lambda a, b, axis=-1: np.mean(a - b, axis=axis),
        paired=True,
        method="BCa",
        n_resamples=RESAMPLES,
        rng=rng,
    ).confidence_interval
    found = bca(here - there)
    assert found is not None
    assert found == pytest.approx((expected.low, expected.high), abs=0.015)


def test_resamples_draw_as_many_units_as_there_are_and_are_always_the_same() -> None:
    drawn = resamples(17).copy()
    assert drawn.shape == (10_000, 17)
    assert (drawn.sum(axis=1) == 17).all()
    resamples.cache_clear()
    assert (resamples(17) == drawn).all()
    assert drawn.var() == pytest.approx(16 / 17, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(several)
def test_swapping_the_sides_mirrors_the_interval(values: list[int]) -> None:
    differences = np.array(values)
    low, high = bca(differences) or (0.0, 0.0)
    other_low, other_high = bca(-differences) or (0.0, 0.0)
    assert (other_low, other_high) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("values", [[0] * 30, [2] * 30, [1]])
def test_equal_differences_have_nothing_to_resample(values: list[int]) -> None:
    differences = np.array(values)
    assert bca(differences) is None
    counts = differences.clip(0)
    nothing = np.zeros_like(counts)
    plain = statistics.rate_change(counts, 2, nothing, 2)
    assert statistics.rate_change(counts, 2, nothing, 2, "bca") == plain
    assert plain.low is not None
    assert plain.high is not None
    assert plain.low < plain.high


def test_a_rates_change_has_it_where_asked_for() -> None:
    rng = np.random.default_rng(8)
    here, there = rng.integers(0, 4, size=90), rng.integers(0, 3, size=90)
    change = statistics.rate_change(here, 3, there, 2, "bca")
    low, high = bca(2 * here - 3 * there) or (0.0, 0.0)
    assert (change.low, change.high) == pytest.approx((low / 6, high / 6))
    assert change.p_value == statistics.rate_change(here, 3, there, 2).p_value
