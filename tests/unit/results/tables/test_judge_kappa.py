"""Agreement of judges beyond chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from built import build_table
from holdfast.errors import HoldfastError
from holdfast.results.tables.tidy import to_csv
from holdfast.statistics.kappa import agreement, kappa
from judged_tables import (
    both,
    cell,
    kappa_table,
    rows,
    settings,
    summary,
    texts,
)

TABLE = st.tuples(*[st.integers(0, 60)] * 4)


def verdicts(both: int, first: int, second: int, neither: int) -> tuple[Any, Any]:
    one = [1] * (both + first) + [0] * (second + neither)
    other = [1] * both + [0] * first + [1] * second + [0] * neither
    return np.array(one)[:, None], np.array(other)[:, None]


def shares(one: Any, other: Any) -> Any:
    parts = (one & other, one & (1 - other), other & (1 - one))
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


@given(TABLE)
def test_kappa_and_its_error_are_statsmodels(counts: tuple[int, int, int, int]) -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    one, other = verdicts(*counts)
    assume(0 < one.sum() + other.sum() < 2 * len(one))
    with np.errstate(invalid="ignore"):  # where the judges never differ
        oracle = cohens_kappa(np.array(counts).reshape(2, 2))
    found = kappa(shares(one, other), np.ones(len(one)))
    assert found is not None
    assert found[0] == pytest.approx(oracle.kappa, abs=1e-12)
    if oracle.var_kappa > 1e-12:
        assert found[1] == pytest.approx(math.sqrt(oracle.var_kappa), rel=1e-6)


def looks(seed: int, size: int = 200, draws: int = 6) -> tuple[Any, Any]:
    """Two judges' verdicts on looks at behaviors that differ in how often they succeed."""
    rng = np.random.default_rng(seed)
    one = (rng.random((size, draws)) < rng.beta(0.3, 0.9, (size, 1))).astype(np.int64)
    other = np.where(rng.random((size, draws)) < rng.beta(0.2, 1, (size, 1)), 1 - one, one)
    return one, other


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_clustered_looks_is_the_jackknifes(seed: int) -> None:
    table = shares(*looks(seed))
    size = len(table)
    found = kappa(table, np.ones(size))
    without = [kappa(np.delete(table, i, axis=0), np.ones(size - 1)) for i in range(size)]
    values = np.array([one[0] for one in without if one])
    jackknife = math.sqrt((size - 1) / size * ((values - values.mean()) ** 2).sum())
    assert found is not None
    assert found[1] == pytest.approx(jackknife, rel=0.03)


def test_looking_again_sharpens_nothing() -> None:
    one, other = looks(0)
    once, twice = agreement(one, other), agreement(np.hstack([one] * 2), np.hstack([other] * 2))
    assert once.kappa
    assert twice.kappa
    assert (twice.kappa.low, twice.kappa.high) == pytest.approx((once.kappa.low, once.kappa.high))


def test_the_interval_of_kappa_covers() -> None:
    big = agreement(*looks(0, size=200_000, draws=3)).kappa
    assert big
    found = [agreement(*looks(seed, size=100, draws=3)).kappa for seed in range(1, 301)]
    hits = [one.low <= big.value <= one.high for one in found if one]  # type: ignore[operator]
    assert len(hits) == 300
    assert 0.92 <= np.mean(hits) <= 0.99


def test_judges_that_never_differ_still_have_a_width() -> None:
    found = agreement(*verdicts(5, 0, 0, 45))
    assert found.kappa
    assert found.kappa.value == found.kappa.high == found.observed.value == 1
    assert found.kappa.low is not None
    assert found.kappa.low < 0.95


def test_kappa_is_undefined_where_all_verdicts_are_the_same() -> None:
    assert agreement(*verdicts(0, 0, 0, 9)).kappa is None
    constant = agreement(*verdicts(0, 3, 0, 9)).kappa
    assert constant
    assert constant.value == 0


def test_verdicts_are_pooled_over_levels_draws_and_arms() -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    table = kappa_table()
    assert [block.titles for block in table.blocks] == [("m", "None"), ("Noise: σ=1, σ=2",)]
    # both 2+1+2, only AdvBench 1+2, neither 1+1+2; three of twelve pairs hold an unread verdict.
    value = cohens_kappa(np.array([[5, 0], [3, 4]])).kappa
    assert texts(table) == [
        ["HarmBench / AdvBench", "8", "1.0000", "–", "0.0000", "0.0000", "0.0000", "0.0000"],
        [
            "HarmBench / AdvBench", "12", "0.7500", f"{value:.4f}", "0.4167", "0.0000", "0.2500",
            f"{2 / 12:.4f}",
        ],
    ]  # fmt: skip
    assert "kappa is undefined" in table.notes[-1]
    assert "n: 4 behaviors" in " ".join(table.notes)
    found = {(row["perturbation"], row["metric"]): row for row in rows(to_csv(table.records))}
    assert ("none", "kappa_harmbench_refusal_prefix") not in found
    row = found["noise", "kappa_harmbench_refusal_prefix"]
    assert float(row["value"]) == pytest.approx(value, abs=1e-6)
    assert (row["arm"], row["n"], row["draws"], row["better"]) == ("fo+zo", "4", "3", "higher")


def test_kappa_of_other_behaviors_or_judges_is_refused() -> None:
    with pytest.raises(HoldfastError, match="tested on different behaviors"):
        kappa_table(behaviors_sha256="t")
    run = [summary("fo", cell("none", "", both(["01"])))]
    with pytest.raises(HoldfastError, match="table 'k': metric 'harmbnch' was not measured"):
        build_table("k", settings("judge_kappa", arms=["fo"], metrics=["harmbnch"]), run)
