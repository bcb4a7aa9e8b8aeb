"""From scores to a selection: the m layers with the largest score, and its stability."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.settings.selections import Robustness, selected


def select(scores: Mapping[str, float], top_m: int) -> dict[str, Any]:
    """Select from scores without a sampling error (SNIP, Wanda, random)."""
    return {
        "layers": len(scores),
        "scores": dict(scores),
        "standard_errors": None,
        "top": top_layers(scores, top_m),
        "rank_stability": None,
    }


def select_robust(
    chunks: Sequence[Mapping[str, Any]], settings: Robustness, count: int
) -> dict[str, Any]:
    """Gather the chunks that ``robustness.score_layers`` returned for all ``count`` layers.

    A score is the mean S_noise over draws plus ``quant_weight`` times S_quant; its standard error
    comes from the draws (null for one draw). ``components`` keeps both terms apart (Figure 2).
    ``rank_stability`` compares the selections that single draws would have made, over all pairs of
    draws: mean Kendall tau-b of the ranks and mean share of common layers among the top m.

    Raises:
        HoldfastError: a layer is missing, or the chunks are of different models or data.
    """
    layers = _gather(chunks, count)
    noise = {layer: statistics.fmean(parts["noise"]) for layer, parts in layers.items()}
    quant = {layer: parts["quant"] for layer, parts in layers.items()}
    weight, top_m = settings.quant_weight, selected(settings.top_m, count)
    scores = {layer: noise[layer] + weight * quant[layer] for layer in layers}
    draws = [
        {layer: parts["noise"][draw] + weight * quant[layer] for layer, parts in layers.items()}
        for draw in range(settings.draws)
    ]
    return {
        **select(scores, top_m),
        "standard_errors": _standard_errors(layers) if settings.draws > 1 else None,
        "rank_stability": _stability(draws, top_m) if settings.draws > 1 else None,
        "components": {"noise": noise, "quant": quant},
        "loss": chunks[0]["loss"],
    }


def top_layers(scores: Mapping[str, float], top_m: int) -> list[int]:
    """Return the ``top_m`` layers by falling score, the lower layer first among equals.

    Raises HoldfastError when a score is no number or there are fewer layers than ``top_m``.
    """
    if top_m > len(scores):
        raise HoldfastError(f"top_m is {top_m}, but the model has {len(scores)} decoder layers")
    for layer, score in scores.items():
        if not math.isfinite(score):
            raise HoldfastError(
                f"the score of layer {layer} is {score}: lower rho, or check the model and its data"
            )
    order = sorted(scores, key=lambda layer: (-scores[layer], int(layer)))
    return [int(layer) for layer in order[:top_m]]


def _gather(chunks: Sequence[Mapping[str, Any]], count: int) -> dict[str, Any]:
    if len({chunk["loss"] for chunk in chunks}) > 1:
        raise HoldfastError(
            "the layer-score chunks start from different losses: delete them and score again"
        )
    found = {layer: parts for chunk in chunks for layer, parts in chunk["layers"].items()}
    missing = [str(layer) for layer in range(count) if str(layer) not in found]
    if missing:
        raise HoldfastError(f"no score for layer {', '.join(missing)}: run the scoring again")
    return {str(layer): found[str(layer)] for layer in range(count)}


def _standard_errors(layers: Mapping[str, Any]) -> dict[str, float]:
    return {
        layer: statistics.stdev(parts["noise"]) / math.sqrt(len(parts["noise"]))
        for layer, parts in layers.items()
    }


def _stability(draws: Sequence[Mapping[str, float]], top_m: int) -> dict[str, float | None]:
    from scipy.stats import kendalltau

    pairs = list(itertools.combinations(draws, 2))
    ranked = [(list(a.values()), list(b.values())) for a, b in pairs]
    tau = statistics.fmean(float(kendalltau(a, b).statistic) for a, b in ranked)
    common = [len({*top_layers(a, top_m)} & {*top_layers(b, top_m)}) / top_m for a, b in pairs]
    return {
        "kendall_tau": None if math.isnan(tau) else tau,
        "top_m_overlap": statistics.fmean(common),
    }
