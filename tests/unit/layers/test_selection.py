from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from holdfast.data.outputs import DrawnScores, LayerSelection, RankStability, Sensitivity
from holdfast.errors import HoldfastError
from holdfast.layers.selection import (
    select,
    select_robust,
    top_layers,
)
from holdfast.settings.selections import Robustness, selected

NOISE = np.random.default_rng(0).normal(size=(6, 4)) + np.arange(6)[:, None]
QUANT = np.random.default_rng(1).normal(size=6)


def chunks(*groups: range) -> list[DrawnScores]:
    return [
        DrawnScores(
            loss=1.5,
            layers={
                str(layer): Sensitivity(noise=NOISE[layer].tolist(), quant=float(QUANT[layer]))
                for layer in group
            },
        )
        for group in groups
    ]


def test_robust_selection_against_numpy_and_scipy() -> None:
    settings = Robustness(draws=4, quant_weight=0.5, top_m=2)
    found = select_robust(chunks(range(3, 6), range(3)), settings, 6)
    scores = NOISE.mean(axis=1) + 0.5 * QUANT
    assert list(found.scores) == ["robustness", "noise", "quant"]
    assert found.scores["robustness"] == pytest.approx(scores)
    assert found.top == np.argsort(-scores)[:2].tolist()
    for name in ("robustness", "noise"):
        assert found.standard_errors[name] == pytest.approx(stats.sem(NOISE, axis=1))
    draws = NOISE + 0.5 * QUANT[:, None]
    pairs = [(a, b) for a in range(4) for b in range(a)]
    tau = np.mean([stats.kendalltau(draws[:, a], draws[:, b]).statistic for a, b in pairs])
    tops = [set(np.argsort(-draws[:, draw])[:2]) for draw in range(4)]
    overlap = np.mean([len(tops[a] & tops[b]) / 2 for a, b in pairs])
    assert found.rank_stability is not None
    assert found.rank_stability.kendall_tau == pytest.approx(tau)
    assert found.rank_stability.top_m_overlap == pytest.approx(overlap)
    assert found.scores["quant"] == QUANT.tolist()
    json.dumps(found.model_dump(), allow_nan=False)


def test_chunking_does_not_matter() -> None:
    settings = Robustness(draws=4, top_m=3)
    whole = select_robust(chunks(range(6)), settings, 6)
    assert select_robust(chunks(range(4, 6), range(4)), settings, 6) == whole


def test_one_draw_has_no_standard_error() -> None:
    one = [DrawnScores(loss=0.0, layers={"0": Sensitivity(noise=[1.0], quant=0.0)})]
    found = select_robust(one, Robustness(draws=1, top_m=1), 1)
    assert found.standard_errors == {}
    assert found.rank_stability is None


def test_missing_layer_and_mixed_chunks_are_told() -> None:
    with pytest.raises(HoldfastError, match="no score for layer 4, 5"):
        select_robust(chunks(range(4)), Robustness(draws=4), 6)
    mixed = chunks(range(3), range(3, 6))
    mixed[1] = mixed[1].model_copy(update={"loss": 1.6})
    with pytest.raises(HoldfastError, match="different losses"):
        select_robust(mixed, Robustness(draws=4), 6)


def test_ties_go_to_the_lower_layer() -> None:
    assert top_layers({"10": 1.0, "9": 1.0, "2": 1.0, "0": 0.5}, 3) == [2, 9, 10]


def test_plain_selection_keeps_the_scores() -> None:
    scores = {"0": 0.2, "1": 0.9, "2": 0.4}
    assert select("snip", scores, 2) == LayerSelection(
        layers=3,
        top=[1, 2],
        rank_stability=None,
        scores={"snip": [0.2, 0.9, 0.4]},
        standard_errors={},
    )


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused(score: float) -> None:
    with pytest.raises(HoldfastError, match="the score of layer 1 is"):
        top_layers({"0": 1.0, "1": score}, 1)


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(HoldfastError, match="top_m is 3, but the model has 2"):
        top_layers({"0": 1.0, "1": 2.0}, 3)


@pytest.mark.parametrize(
    ("top_m", "layers", "count"),
    [(4, 32, 4), (0.125, 32, 4), (0.125, 28, 3), (0.29, 100, 29), (0.01, 28, 0)],
)
def test_a_share_of_the_layers_is_rounded_down(top_m: float, layers: int, count: int) -> None:
    assert selected(top_m, layers) == count


def test_robust_selection_takes_a_share() -> None:
    share, number = (Robustness(draws=4, top_m=top_m) for top_m in (0.5, 3))
    assert select_robust(chunks(range(6)), share, 6) == select_robust(chunks(range(6)), number, 6)


def test_draws_that_are_all_ties_have_no_tau() -> None:
    even = [
        DrawnScores(
            loss=0.0,
            layers={str(layer): Sensitivity(noise=[1.0, 1.0], quant=0.0) for layer in range(3)},
        )
    ]
    assert select_robust(even, Robustness(draws=2, top_m=1), 3).rank_stability == RankStability(
        kendall_tau=None, top_m_overlap=1.0
    )
