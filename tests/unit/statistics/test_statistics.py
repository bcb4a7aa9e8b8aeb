"""Statistics against scipy, statsmodels, full enumeration and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ztest

from holdfast import statistics
from holdfast.errors import HoldfastError
from holdfast.statistics import Change, Counts, Estimate

fast = settings(max_examples=60, deadline=None)


def counts_of(values: list[int]) -> Counts:
    return np.asarray(values, dtype=np.int64)


@st.composite
def clustered(draw: st.DrawFn, units: int = 30, most: int = 5) -> tuple[Counts, int]:
    draws = draw(st.integers(1, most))
    values = draw(st.lists(st.integers(0, draws), min_size=1, max_size=units))
    return counts_of(values), draws


@st.composite
def paired(draw: st.DrawFn, units: int = 9) -> tuple[Counts, int, Counts, int]:
    n, here, there = draw(st.tuples(st.integers(1, units), st.integers(1, 4), st.integers(1, 4)))
    first = draw(st.lists(st.integers(0, here), min_size=n, max_size=n))
    second = draw(st.lists(st.integers(0, there), min_size=n, max_size=n))
    return counts_of(first), here, counts_of(second), there


def test_successes_count_per_behavior() -> None:
    draws = ["01?1", "11?0"]
    assert statistics.successes(draws).tolist() == [1, 2, 0, 1]
    assert statistics.successes(draws, "?").tolist() == [0, 0, 2, 0]


@pytest.mark.parametrize("draws", [[], [""], ["01", "011"]])
def test_broken_outcomes_are_refused(draws: list[str]) -> None:
    with pytest.raises(HoldfastError, match="outcome strings"):
        statistics.successes(draws)


@fast
@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_one_draw_is_the_plain_wilson_interval(outcomes: list[int]) -> None:
    found = statistics.rate(counts_of(outcomes), 1)
    low, high = proportion_confint(sum(outcomes), len(outcomes), method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@fast
@given(clustered())
def test_effective_size_is_between_units_and_looks(case: tuple[Counts, int]) -> None:
    counts, draws = case
    found = statistics.rate(counts, draws)
    assert len(counts) <= statistics.effective_size(counts, draws) <= len(counts) * draws
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(counts.sum() / (len(counts) * draws))


def test_effective_size_comes_from_the_cluster_robust_variance() -> None:
    rng = np.random.default_rng(5)
    draws, n = 4, 80
    looks = (rng.random((n, draws)) < rng.beta(1.5, 3, size=n)[:, None]).astype(float)
    fit = OLS(looks.ravel(), np.ones(n * draws)).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(n), draws)}
    )
    value = looks.mean()
    expected = value * (1 - value) / fit.bse[0] ** 2
    counts = looks.sum(axis=1).astype(np.int64)
    assert n < expected < n * draws
    assert statistics.effective_size(counts, draws) == pytest.approx(expected)


@fast
@given(st.lists(st.integers(0, 1), min_size=2, max_size=40), st.integers(2, 6))
def test_repeating_a_draw_adds_no_certainty(outcomes: list[int], draws: int) -> None:
    once = statistics.rate(counts_of(outcomes), 1)
    again = statistics.rate(counts_of(outcomes) * draws, draws)
    assert (again.low, again.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("value", [0, 3])
def test_rates_of_zero_and_one_count_units_only(value: int) -> None:
    found = statistics.rate(counts_of([value] * 20), 3)
    low, high = proportion_confint(20 * value // 3, 20, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))


def test_clustered_interval_covers_where_the_naive_one_does_not() -> None:
    rng = np.random.default_rng(11)
    n, draws, truth, runs = 100, 5, 0.25, 400
    hits = naive = 0
    for _ in range(runs):
        chances = rng.beta(0.25, 0.75, size=n)
        counts = rng.binomial(draws, chances)
        found = statistics.rate(counts, draws)
        low, high = proportion_confint(counts.sum(), n * draws, method="wilson")
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
        naive += low <= truth <= high
    assert hits / runs > 0.92
    assert naive / runs < 0.85


@fast
@given(st.lists(st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1)]), min_size=1, max_size=60))
def test_sign_flip_is_mcnemar_at_one_draw(pairs: list[tuple[int, int]]) -> None:
    first, second = (counts_of(list(side)) for side in zip(*pairs, strict=True))
    only_first = int(((first == 1) & (second == 0)).sum())
    only_second = int(((first == 0) & (second == 1)).sum())
    expected = mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue
    change = statistics.rate_change(first, 1, second, 1)
    assert change.p_value == pytest.approx(expected, rel=1e-9)
    assert change.delta == pytest.approx((only_first - only_second) / len(pairs))


@fast
@given(paired())
def test_sign_flip_is_the_full_enumeration(case: tuple[Counts, int, Counts, int]) -> None:
    first, draws, second, before = case
    exact = [
        Fraction(int(a), draws) - Fraction(int(b), before)
        for a, b in zip(first, second, strict=True)
    ]
    observed = abs(sum(exact))
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, exact, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(exact))
    ]
    expected = sum(total >= observed for total in sums) / len(sums)
    change = statistics.rate_change(first, draws, second, before)
    assert change.p_value == pytest.approx(expected, rel=1e-9)
    assert change.delta == pytest.approx(float(sum(exact) / len(exact)))


def test_sign_flip_is_scipys_permutation_test() -> None:
    differences = counts_of([3, -1, 2, 2, -3, 1, 1, 3, 0, 2])
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert statistics.sign_flip(differences) == pytest.approx(expected.pvalue)


@fast
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=200), st.integers(1, 7))
def test_sign_flip_symmetries(values: list[int], scale: int) -> None:
    differences = counts_of(values)
    p = statistics.sign_flip(differences)
    assert 0 < p <= 1
    assert statistics.sign_flip(-differences) == pytest.approx(p)
    assert statistics.sign_flip(differences * scale) == pytest.approx(p)
    assert statistics.sign_flip(differences[::-1]) == pytest.approx(p)


@fast
@given(paired(units=40))
def test_interval_of_a_change(case: tuple[Counts, int, Counts, int]) -> None:
    first, draws, second, before = case
    change = statistics.rate_change(first, draws, second, before)
    back = statistics.rate_change(second, before, first, draws)
    assert change.low is not None
    assert change.high is not None
    assert back.low is not None
    assert -1 <= change.low <= change.delta <= change.high <= 1
    assert change.high - change.low > 0
    assert (back.delta, -back.low) == pytest.approx((-change.delta, change.high))


def test_interval_of_a_change_is_agresti_and_mins() -> None:
    # b = 12 and c = 4 discordant pairs among 50: add 1/2 to each of the four cells.
    first = counts_of([1] * 12 + [0] * 4 + [1] * 10 + [0] * 24)
    second = counts_of([0] * 12 + [1] * 4 + [1] * 10 + [0] * 24)
    b, c, n = 12.5, 4.5, 52
    half = 1.959963985 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    change = statistics.rate_change(first, 1, second, 1)
    assert (change.low, change.high) == pytest.approx(((b - c) / n - half, (b - c) / n + half))


def test_unpaired_sizes_are_refused() -> None:
    with pytest.raises(HoldfastError, match="same units"):
        statistics.rate_change(counts_of([1, 0]), 1, counts_of([1]), 1)


@pytest.fixture
def windows() -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(2)
    base = rng.normal(2.2, 0.3, size=60)
    return base + rng.normal(0.01, 0.02, size=60), base


def test_perplexity_is_scipys_t_interval(windows: tuple[NDArray[Any], NDArray[Any]]) -> None:
    nll, _ = windows
    found = statistics.perplexity(nll, np.full(60, 2047.0), 1)
    low, high = stats.t.interval(0.95, 59, loc=nll.mean(), scale=stats.sem(nll))
    assert found == Estimate(
        pytest.approx(math.exp(nll.mean())),
        pytest.approx(math.exp(low)),
        pytest.approx(math.exp(high)),
        60,
        1,
    )


def test_perplexity_weighs_windows_by_tokens() -> None:
    nll, tokens = np.array([1.0, 2.0, 4.0]), np.array([10.0, 30.0, 60.0])
    every_token = np.repeat(nll, tokens.astype(int))
    assert statistics.perplexity(nll, tokens, 1).value == pytest.approx(
        math.exp(every_token.mean())
    )


def test_perplexity_change_is_the_paired_t_test(
    windows: tuple[NDArray[Any], NDArray[Any]],
) -> None:
    nll, before = windows
    change = statistics.perplexity_change(nll, before, np.full(60, 2047.0))
    assert change.delta == pytest.approx(math.exp(nll.mean()) - math.exp(before.mean()))
    assert change.p_value == pytest.approx(stats.ttest_rel(nll, before).pvalue)


def test_perplexity_change_interval_agrees_with_the_jackknife(
    windows: tuple[NDArray[Any], NDArray[Any]],
) -> None:
    nll, before = windows
    tokens = np.linspace(500, 2047, 60)
    change = statistics.perplexity_change(nll, before, tokens)
    kept = [np.arange(60) != left for left in range(60)]
    deltas = np.array(
        [
            math.exp(np.average(nll[k], weights=tokens[k]))
            - math.exp(np.average(before[k], weights=tokens[k]))
            for k in kept
        ]
    )
    error = math.sqrt(59 / 60 * ((deltas - deltas.mean()) ** 2).sum())
    assert change.high is not None
    assert change.high - change.delta == pytest.approx(stats.t.ppf(0.975, 59) * error, rel=0.05)


def test_equal_and_single_windows() -> None:
    one = np.array([2.0])
    assert statistics.perplexity(one, np.array([9.0]), 1).low is None
    assert statistics.perplexity_change(one, one, np.array([9.0])).p_value is None
    two = np.array([2.0, 3.0])
    same = statistics.perplexity_change(two, two, np.ones(2))
    assert same == Change(0.0, 0.0, 0.0, 1.0)


def test_a_broken_models_perplexity_stays_finite() -> None:
    nll = np.array([900.0, 901.0, 950.0])
    change = statistics.perplexity_change(nll, nll - 890, np.ones(3))
    assert math.isfinite(change.delta)
    assert math.isfinite(statistics.perplexity(nll, np.ones(3), 1).value)


def test_accuracy_is_the_unweighted_mean_of_tasks() -> None:
    rng = np.random.default_rng(4)
    tasks = [rng.integers(0, 2, size=n).astype(float) for n in (40, 400)]
    found = statistics.accuracy(tasks, 1)
    error = math.hypot(*(stats.sem(task) for task in tasks)) / 2
    center = (tasks[0].mean() + tasks[1].mean()) / 2
    low, high = stats.norm.interval(0.95, center, error)
    assert (found.value, found.low, found.high) == pytest.approx((center, low, high))
    assert found.units == 440


def test_accuracy_change_is_the_paired_z_test() -> None:
    rng = np.random.default_rng(6)
    before = rng.integers(0, 2, size=300).astype(float)
    after = np.where(rng.random(300) < 0.2, 1 - before, before)
    change = statistics.accuracy_change([after], [before])
    assert change.p_value == pytest.approx(ztest(after - before)[1])
    assert change.delta == pytest.approx(after.mean() - before.mean())
    same = statistics.accuracy_change([before], [before])
    assert same.p_value == 1.0
    # As a rate's change without discordant pairs, each cell of the table raised by a half.
    assert same.high == -same.low == pytest.approx(stats.norm.ppf(0.975) / (len(before) + 2))


@fast
@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_is_the_step_down_rule(p_values: list[float]) -> None:
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    expected, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        expected[index] = worst
    assert statistics.adjusted(p_values) == pytest.approx(expected)
