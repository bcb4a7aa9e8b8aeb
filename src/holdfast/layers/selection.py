"""From scores to a selection: the m layers with the largest score, and its stability."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.data.outputs import DrawnScores, LayerSelection, RankStability, Sensitivity
from holdfast.errors import HoldfastError
from holdfast.settings.selections import selected


class Drawn(Protocol):
    """Settings of a kind whose scores are drawn."""

    @property
    def kind(self) -> str: ...
    @property
    def top_m(self) -> float: ...
    @property
    def draws(self) -> int: ...
    @property
    def quant_weight(self) -> float: ...


def select(name: str, scores: Mapping[str, float], top_m: int) -> LayerSelection:
    """Select from scores, by layer, without a sampling error (SNIP, Wanda, random)."""
    return LayerSelection(
        layers=len(scores),
        top=top_layers(scores, top_m),
        rank_stability=None,
        scores={name: _listed(scores)},
        standard_errors={},
    )


def select_robust(chunks: Sequence[DrawnScores], settings: Drawn, count: int) -> LayerSelection:
    """Gather the chunks of scores that are drawn, as ``robustness.score_layers`` returns them.

    There are ``count`` layers in all. A score is the mean S_noise over draws plus ``quant_weight``
    times S_quant; its standard error comes from the draws. Beside it are both terms, ``noise`` and
    ``quant`` (Figure 2).

    Raises:
        HoldfastError: a layer is missing, or the chunks are of different models or data.
    """
    layers = _gather(chunks, count)
    noise = {layer: statistics.fmean(parts.noise) for layer, parts in layers.items()}
    quant = {layer: parts.quant for layer, parts in layers.items()}
    weight, top_m = settings.quant_weight, selected(settings.top_m, count)
    scores = {layer: noise[layer] + weight * quant[layer] for layer in layers}
    draws = [
        {layer: parts.noise[draw] + weight * quant[layer] for layer, parts in layers.items()}
        for draw in range(settings.draws)
    ]
    several = settings.draws > 1
    errors = _listed(_standard_errors(layers)) if several else []
    return LayerSelection(
        layers=count,
        top=top_layers(scores, top_m),
        rank_stability=_stability(draws, top_m) if several else None,
        scores={
            settings.kind: _listed(scores),
            "noise": _listed(noise),
            "quant": _listed(quant),
        },
        standard_errors={settings.kind: errors, "noise": errors} if several else {},
    )


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


def _gather(chunks: Sequence[DrawnScores], count: int) -> dict[str, Sensitivity]:
    if len({chunk.loss for chunk in chunks}) > 1:
        raise HoldfastError(
            "the layer-score chunks start from different losses: delete them and score again"
        )
    scored = {layer: parts for chunk in chunks for layer, parts in chunk.layers.items()}
    missing = [str(layer) for layer in range(count) if str(layer) not in scored]
    if missing:
        raise HoldfastError(f"no score for layer {', '.join(missing)}: run the scoring again")
    return {str(layer): scored[str(layer)] for layer in range(count)}


def _standard_errors(layers: Mapping[str, Sensitivity]) -> dict[str, float]:
    return {
        layer: statistics.stdev(parts.noise) / math.sqrt(len(parts.noise))
        for layer, parts in layers.items()
    }


def _stability(draws: Sequence[Mapping[str, float]], top_m: int) -> RankStability:
    from scipy.stats import kendalltau  # a second of imports

    pairs = list(itertools.combinations(draws, 2))
    taus = [kendalltau(list(a.values()), list(b.values())).statistic for a, b in pairs]
    common = [len({*top_layers(a, top_m)} & {*top_layers(b, top_m)}) / top_m for a, b in pairs]
    tau = statistics.fmean(map(float, taus))
    return RankStability(
        kendall_tau=None if math.isnan(tau) else tau, top_m_overlap=statistics.fmean(common)
    )


def _listed(scores: Mapping[str, float]) -> list[float]:
    return [scores[str(layer)] for layer in range(len(scores))]
