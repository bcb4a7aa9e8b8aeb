"""Claims: every kind meets data that support it, contradict it, and cannot tell."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from claimed import (
    COST,
    GAP,
    LOWER,
    PLAIN,
    SAME,
    cost,
    gaps,
    outcomes,
    pair,
    row_of,
    rows_of,
    table_of,
    windows,
)
from holdfast import statistics
from holdfast.config import HoldfastError
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from small_tables import METRICS, summary


@pytest.mark.parametrize("kind", ["lower", "higher"])
@pytest.mark.parametrize(
    ("fo", "zo", "word", "needs"),
    [
        (30, 10, {"lower": "supported", "higher": "contradicted"}, "NA"),
        (10, 30, {"lower": "contradicted", "higher": "supported"}, "NA"),
        (30, 28, {"lower": "cannot tell", "higher": "cannot tell"}, "behaviors"),
    ],
)
def test_a_direction_is_told_by_a_paired_test(
    kind: str, fo: int, zo: int, word: dict[str, str], needs: str
) -> None:
    row = row_of(pair(fo, zo), {**PLAIN, "kind": kind})
    assert row["verdict"] == word[kind]
    assert needs in row["needs"]
    assert float(row["estimate"]) == pytest.approx((zo - fo) / 100)
    one_way, other = max(fo - zo, 0), max(zo - fo, 0)
    expected = mcnemar([[0, one_way], [other, 0]], exact=True).pvalue
    assert float(row["p_value"]) == pytest.approx(expected, rel=1e-4)
    assert (row["n"], row["unit"], row["kind"]) == ("100", "behaviors", kind)


def test_the_units_needed_are_enough_if_the_change_seen_is_true() -> None:
    row = row_of(pair(30, 27), PLAIN)
    n = int(row["needs"].split()[2])
    zo, fo = (np.array([1] * hits + [0] * (100 - hits)) for hits in (27, 30))
    spread = statistics.rate_change(zo, 1, fo, 1).spread
    assert spread is not None
    assert n == statistics.needed_n(0.03, spread)
    assert n > 100
    assert "change seen; n would find" in row_of(pair(30, 30), PLAIN)["needs"]


def test_cells_and_judges_are_averaged_alike_behavior_by_behavior() -> None:
    rng = np.random.default_rng(0)
    run = [summary("fo"), summary("zo")]
    claim = {**LOWER, "metrics": ["harmbench", "llamaguard"], "perturbations": "all"}
    row = row_of(run, claim, draws="fixed")
    means = []
    for one in run:
        rates = [
            np.mean([[int(bit) for bit in draw] for draw in cell["outcomes"][judge]], axis=0)
            for cell in one["cells"]
            for judge in claim["metrics"]
        ]
        means.append(np.mean(rates, axis=0))
    differences = means[1] - means[0]
    assert float(row["estimate"]) == pytest.approx(differences.mean(), abs=1e-6)
    flips = rng.choice([-1, 1], (40_000, 40)) @ differences
    simulated = np.mean(np.abs(flips) >= abs(differences.sum()) - 1e-9)
    assert float(row["p_value"]) == pytest.approx(simulated, abs=0.01)
    sampled = row_of(run, claim)
    assert sampled["estimate"] == row["estimate"]
    assert float(sampled["p_value"]) >= float(row["p_value"])


def test_levels_and_an_unperturbed_reference_choose_the_cells() -> None:
    fo, zo = pair(30, 30)
    for cell in zo["cells"]:
        if cell["level"] == "2":
            cell["outcomes"]["harmbench"] = ["1" * 80 + "0" * 20] * 3
    noise = {**LOWER, "perturbations": ["weight_noise"]}
    two = {**noise, "levels": {"weight_noise": [2]}, "reference": {"arm": "zo"} | {"arm": "fo"}}
    assert float(row_of([fo, zo], noise)["estimate"]) == pytest.approx(0.25)
    assert float(row_of([fo, zo], two)["estimate"]) == pytest.approx(0.5)
    own = {**two, "reference": {"arm": "zo", "perturbation": "none"}}
    assert float(row_of([fo, zo], own)["estimate"]) == pytest.approx(0.5)
    with pytest.raises(HoldfastError, match="claim 'it': m/zo and zo have no cell to compare"):
        row_of([fo, zo], {**PLAIN, "reference": {"arm": "zo"}})


def test_training_seeds_are_a_level_of_their_own() -> None:
    (fo, zo), again = pair(30, 10), pair(30, 32)
    alone = row_of([fo, zo], PLAIN)
    both = row_of([fo, zo, *({**one, "seed": 1} for one in again)], PLAIN)
    assert alone["verdict"] == "supported"
    assert (both["verdict"], both["needs"]) == ("cannot tell", "more seeds or draws")
    assert float(both["estimate"]) == pytest.approx(-0.09)


def test_unlike_numbers_of_draws_are_taken_as_given() -> None:
    run = [summary("fo"), summary("zo")]
    for one in run:
        cell = one["cells"][-1]
        cell["outcomes"] = {name: draws[:2] for name, draws in cell["outcomes"].items()}
        cell["draws"] = 2
    noise = {**LOWER, "perturbations": ["weight_noise"]}
    sampled, given = (row_of(run, noise, draws=draws) for draws in ("random", "fixed"))
    assert sampled == given
    rates = [
        np.mean([int(bit) for draw in cell["outcomes"]["harmbench"] for bit in draw])
        for one in run
        for cell in one["cells"][2:]
    ]
    assert float(given["estimate"]) == pytest.approx(
        sum(rates[2:]) / 2 - sum(rates[:2]) / 2, abs=2e-6
    )


def test_each_model_has_every_claim_and_all_are_one_family() -> None:
    run = [summary(arm, model=model) for model in ("a", "b") for arm in ("fo", "zo")]
    table = table_of(run, it=PLAIN, same=SAME)
    assert [block.model for block in table.blocks] == ["a", "b"]
    found = list(csv.DictReader(io.StringIO(table.csv)))
    assert [(row["model"], row["claim"]) for row in found] == [
        (model, claim) for model in ("a", "b") for claim in ("it", "same")
    ]
    assert any("over the 2 such claims" in note for note in table.notes)
    only = table_of(run, it=PLAIN, settings={"models": ["b"]})
    assert [block.model for block in only.blocks] == ["b"]


def test_p_values_are_adjusted_over_all_claims_of_a_direction() -> None:
    claims = {f"c{k}": {**LOWER, "perturbations": [p]} for k, p in enumerate(("none", "w4a16"))}
    claims["noise"] = {**LOWER, "perturbations": ["weight_noise"]}
    run = [summary("fo"), summary("zo")]
    for adjust, method in (("holm", "holm"), ("bh", "fdr_bh")):
        found = rows_of(table_of(run, **claims, same=SAME, settings={"adjust": adjust}))
        plain = [float(found[name]["p_value"]) for name in claims]
        together = [float(found[name]["p_adjusted"]) for name in claims]
        assert together == pytest.approx(list(multipletests(plain, method=method)[1]), rel=1e-4)
        assert found["same"]["p_adjusted"] == "NA"
    # Six lost behaviors are significant alone (p = .031), and not beside two that show nothing.
    run = pair(30, 24)
    assert row_of(run, PLAIN)["verdict"] == "supported"
    silent = {**PLAIN, "metrics": ["over_refusal"], "reference": {"arm": "fo"}}
    beside = rows_of(table_of(run, it=PLAIN, one=silent, two=silent))
    assert beside["it"]["verdict"] == "cannot tell"


def test_no_direction_is_told_inside_the_noise_floor() -> None:
    fo, zo = pair(30, 20)
    still = [outcomes(arm, harmbench=["1" * 29 + "0" * 71]) for arm in ("random", "again")]
    loud = [outcomes(arm, harmbench=["1" * 20 + "0" * 80]) for arm in ("random", "again")]
    controls = ["random", "again"]
    row = row_of([fo, zo, *still], PLAIN, controls=controls)
    assert row["verdict"] == "supported"
    assert float(row["noise_floor"]) == pytest.approx(
        statistics.noise_floor([-0.01, -0.01]), abs=1e-6
    )
    table = table_of([fo, zo, *loud], it=PLAIN, settings={"controls": controls})
    row = rows_of(table)["it"]
    assert (row["verdict"], row["needs"]) == ("cannot tell", "inside the noise floor")
    assert any("random, again" in note for note in table.notes)


@pytest.mark.parametrize(
    ("moves", "word", "needs"),
    [
        ([0.001, 0.002, -0.001, 0.0] * 5, "supported", "NA"),
        ([0.101, 0.102, 0.099, 0.1] * 5, "contradicted", "NA"),
        ([-0.101, -0.102, -0.099, -0.1] * 5, "contradicted", "NA"),
        ([0.1, -0.1, 0.12, -0.11] * 5, "cannot tell", "windows"),
    ],
)
def test_what_barely_moves_stays_within_a_margin(moves: list[float], word: str, needs: str) -> None:
    before = [2 + place / 10 for place in range(20)]
    after = [a + b for a, b in zip(before, moves, strict=True)]
    row = row_of([windows("fo", before), windows("zo", after)], SAME)
    assert row["verdict"] == word
    assert needs in row["needs"]
    ends = ttest_1samp(moves, 0).confidence_interval(0.95)
    found = [float(row[name]) for name in ("estimate", "ci_low", "ci_high")]
    expected = [math.expm1(value) for value in (np.mean(moves), *ends)]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("lost", "word"), [(0, "supported"), (40, "contradicted"), (3, "cannot tell")]
)
def test_accuracy_and_rates_have_margins_too(lost: int, word: str) -> None:
    run = [summary("fo", n=200), summary("zo", n=200)]
    for one, right in zip(run, (150, 150 - lost), strict=True):
        for cell in one["cells"]:
            bits = "1" * right + "0" * (200 - right)
            cell["lm_eval"] = {"piqa": {"metric": "acc", "scores": [bits] * cell["draws"]}}
            cell["outcomes"]["harmbench"] = [bits] * cell["draws"]
    row = row_of(run, {**SAME, "metrics": ["lm_eval"]})
    assert (row["verdict"], row["unit"]) == (word, "items")
    assert float(row["estimate"]) == pytest.approx(-lost / 200)
    assert float(row["ci_low"]) < float(row["estimate"]) < float(row["ci_high"])
    rate = row_of(run, {**SAME, "metrics": ["harmbench"]})
    assert (rate["verdict"], rate["unit"]) == (word, "behaviors")


@pytest.mark.parametrize(
    ("costs", "word", "needs"),
    [
        ([cost("fo", 100), cost("zo", 13)], "supported", "NA"),
        ([cost("fo", 100), cost("zo", 20)], "contradicted", "NA"),
        ([cost("fo", 100), cost("fo", 90), cost("zo", 10), cost("zo", 9.3)], "supported", "NA"),
        ([cost("fo", 100), cost("fo", 90), cost("zo", 9), cost("zo", 13)], "cannot tell", "seeds"),
        ([cost("fo", 100), cost("zo", 1, resumed=True)], "cannot tell", "not resumed"),
        ([cost("fo", 100), cost("zo", 1, device="CPU")], "cannot tell", "one way"),
    ],
)
def test_a_cost_is_held_to_its_limit(costs: list[Any], word: str, needs: str) -> None:
    row = row_of(costs, {**COST, "limit": 0.13})
    assert row["verdict"] == word
    assert needs in row["needs"]
    assert row["p_value"] == "NA"


@pytest.mark.parametrize(
    ("moves", "word", "needs"),
    [
        ([-90, -100, -120, -95], "supported", "NA"),
        ([90, 100, 120, 95], "contradicted", "NA"),
        ([-90, 100, -120, 95], "cannot tell", "n ≥ "),
    ],
)
def test_a_gap_is_told_by_the_same_draws(moves: list[float], word: str, needs: str) -> None:
    fo = [600, 700, 500, 650]
    run = [gaps("fo", fo), gaps("zo", [one + move for one, move in zip(fo, moves, strict=True)])]
    row = row_of(run, GAP)
    assert (row["verdict"], row["metric"], row["n"]) == (word, "robustness_gap", "4")
    assert row["needs"].startswith(needs)
    assert float(row["estimate"]) == pytest.approx(np.mean(moves) * 0.02**2)
    assert float(row["p_value"]) == pytest.approx(ttest_1samp(moves, 0).pvalue, rel=1e-4)
    again = [gaps("fo", fo, 1), gaps("zo", [one + moves[0] for one in fo], 1)]
    assert row_of(run + again, GAP)["unit"] == "seeds"
    with pytest.raises(HoldfastError, match=r"claim 'it': the gap\.json of model 'm', arm 'zo'"):
        table_of(run[:1], it=GAP)


def test_a_cost_that_is_missing_or_was_not_measured() -> None:
    claim = {**COST, "measure": "peak_memory_bytes", "limit": 1}
    row = row_of([cost("fo", 1), cost("zo", 1)], claim)
    assert (row["verdict"], row["estimate"]) == ("cannot tell", "NA")
    with pytest.raises(
        HoldfastError, match=r"table 't': claim 'it': the cost\.json of model 'm', arm"
    ):
        row_of([cost("fo", 1)], claim)


def test_every_format_shows_every_claim_and_warns_of_meaningless_models() -> None:
    run = [*pair(30, 28), cost("fo", 100), cost("zo", 13)]
    claims = {"it": {**PLAIN, "source": "section 5.3"}, "same": SAME, "cost": {**COST, "limit": 1}}
    table = table_of(run, **claims)
    told = table_of([{**run[0], "meaningless": True}, *run[1:]], **claims)
    for render in (to_markdown, to_latex, to_html, terminal):
        text = render(table)
        for word in ("ZO lowers", "ZO keeps", "section 5.3", "cannot tell", "0.13"):
            assert word in text
        assert "MEAN NOTHING" not in text
        assert "THESE NUMBERS MEAN NOTHING" in render(told)
    assert all(cell for row in csv.reader(io.StringIO(table.csv)) for cell in row)


def test_a_missing_arm_or_metric_is_named() -> None:
    run = pair(30, 28)
    with pytest.raises(
        HoldfastError, match=r"claim 'it': the summary\.json of model 'm', arm 'zo'"
    ):
        row_of(run[:1], PLAIN)
    metrics = {name: value for name, value in METRICS.items() if name != "harmbench"}
    with pytest.raises(HoldfastError, match="claim 'it': metric 'harmbench' was not measured"):
        row_of([run[0], {**run[1], "metrics": metrics}], PLAIN)
