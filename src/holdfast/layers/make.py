"""Layer scores of one arm, chunk by chunk, and the selection made from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.files.atomic import read_json, read_jsonl
from holdfast.layers.selection import select, select_robust
from holdfast.settings.selections import (
    Random,
    Robustness,
    Selection,
    Snip,
    Wanda,
    selected,
)


def make_scores(
    settings: Selection,
    *,
    arm: Path,
    data: Path,
    max_length: int,
    layers: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Score decoder ``layers`` of the arm in a weights folder on the safety pairs in ``data``."""
    if isinstance(settings, Random):
        from holdfast.layers import random

        return random.score_layers(len(layers), settings)
    from holdfast.arms.load import load_arm
    from holdfast.engine.batches import encode_pairs
    from holdfast.engine.memory import layer_scores
    from holdfast.layers import robustness, snip, wanda

    loaded = load_arm(arm, needs=lambda shape: layer_scores(shape, settings, max_length))
    pairs = read_jsonl(data)[: settings.samples]
    examples = encode_pairs(loaded.tokenizer, pairs, max_length)
    if isinstance(settings, Snip):
        return snip.score_layers(loaded.model, examples, settings)
    if isinstance(settings, Wanda):
        return wanda.score_layers(loaded.model, examples, settings)
    return robustness.score_layers(loaded.model, examples, settings, layers=layers, seed=seed)


def make_selection(settings: Selection, chunks: Sequence[Path]) -> dict[str, Any]:
    """Gather the chunks of all layers into the content of selection.json.

    Scores are lists over layers by name: ``robustness`` with its terms ``noise`` and ``quant``, or
    the one that the selection is named after.
    """
    found = [read_json(path) for path in chunks]
    if isinstance(settings, Robustness):
        count = sum(len(chunk["layers"]) for chunk in found)
        chosen = select_robust(found, settings, count)
        scores = {"robustness": chosen["scores"], **chosen["components"]}
        errors = chosen["standard_errors"]
        standard_errors = {"robustness": errors, "noise": errors} if errors else {}
    else:
        chosen = select(found[0], selected(settings.top_m, len(found[0])))
        scores, standard_errors = {settings.kind: chosen["scores"]}, {}
    return {
        "layers": chosen["layers"],
        "top": chosen["top"],
        "rank_stability": chosen["rank_stability"],
        "scores": {name: _listed(values) for name, values in scores.items()},
        "standard_errors": {name: _listed(values) for name, values in standard_errors.items()},
    }


def _listed(values: dict[str, float]) -> list[float]:
    return [values[str(layer)] for layer in range(len(values))]
