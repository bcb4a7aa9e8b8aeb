from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from holdfast.errors import HoldfastError
from holdfast.layers.selection import select, select_robust, top_layers
from holdfast.settings.selections import Robustness, selected

NOISE = np.random.default_rng(0).normal(size=(6, 4)) + np.arange(6)[:, None]
QUANT = np.random.default_rng(1).normal(size=6)


def chunks(*groups: range) -> list[dict[str, Any]]:
    return [
        {
            "loss": 1.5,
            "layers": {
                str(layer): {"noise": NOISE[layer].tolist(), "quant": float(QUANT[layer])}
                for layer in group
            },
        }
        for group in groups
    ]


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau without ties: pairs in one order less those in the other, of all."""
    signs = [np.sign(np.subtract.outer(one, one)) for one in (first, second)]
    return float((signs[0] * signs[1]).sum() / (len(first) * (len(first) - 1)))


def test_robust_selection_against_numpy_and_scipy() -> None:
    settings = Robustness(draws=4, quant_weight=0.5, top_m=2)
    found = select_robust(chunks(range(3, 6), range(3)), settings, 6)
    scores = NOISE.mean(axis=1) + 0.5 * QUANT
    assert list(found["scores"]) == [str(layer) for layer in range(6)]
    assert list(found["scores"].values()) == pytest.approx(scores)
    assert found["top"] == np.argsort(-scores)[:2].tolist()
    assert list(found["standard_errors"].values()) == pytest.approx(stats.sem(NOISE, axis=1))
    draws = NOISE + 0.5 * QUANT[:, None]
    pairs = [(a, b) for a in range(4) for b in range(a)]
    tau = np.mean([agreement(draws[:, a], draws[:, b]) for a, b in pairs])
    tops = [set(np.argsort(-draws[:, draw])[:2]) for draw in range(4)]
    overlap = np.mean([len(tops[a] & tops[b]) / 2 for a, b in pairs])
    assert found["rank_stability"] == {
        "kendall_tau": pytest.approx(tau),
        "top_m_overlap": pytest.approx(overlap),
    }
    assert found["components"]["quant"]["4"] == QUANT[4]
    json.dumps(found, allow_nan=False)


def test_chunking_does_not_matter() -> None:
    settings = Robustness(draws=4, top_m=3)
    whole = select_robust(chunks(range(6)), settings, 6)
    assert select_robust(chunks(range(4, 6), range(4)), settings, 6) == whole


def test_one_draw_has_no_standard_error() -> None:
    one = [{"loss": 0.0, "layers": {"0": {"noise": [1.0], "quant": 0.0}}}]
    found = select_robust(one, Robustness(draws=1, top_m=1), 1)
    assert found["standard_errors"] is None
    assert found["rank_stability"] is None


def test_missing_layer_and_mixed_chunks_are_told() -> None:
    with pytest.raises(HoldfastError, match="no score for layer 4, 5"):
        select_robust(chunks(range(4)), Robustness(draws=4), 6)
    mixed = chunks(range(3), range(3, 6))
    mixed[1]["loss"] = 1.6
    with pytest.raises(HoldfastError, match="different losses"):
        select_robust(mixed, Robustness(draws=4), 6)


def test_ties_go_to_the_lower_layer() -> None:
    assert top_layers({"10": 1.0, "9": 1.0, "2": 1.0, "0": 0.5}, 3) == [2, 9, 10]


def test_plain_selection_keeps_the_scores() -> None:
    scores = {"0": 0.2, "1": 0.9, "2": 0.4}
    assert select(scores, 2) == {
        "layers": 3,
        "scores": scores,
        "standard_errors": None,
        "top": [1, 2],
        "rank_stability": None,
    }


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


def test_draws_without_an_order_have_no_rank_correlation() -> None:
    settings = Robustness(draws=2, quant_weight=1.0, top_m=1)
    layers = {str(layer): {"noise": [1.0, 1.0], "quant": 0.5} for layer in range(3)}
    found = select_robust([{"loss": 1.0, "layers": layers}], settings, 3)
    assert found["rank_stability"] == {"kendall_tau": None, "top_m_overlap": 1.0}
