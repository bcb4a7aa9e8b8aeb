"""Layer scores of one arm, chunk by chunk, and the selection made from them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from holdfast.data.outputs import DrawnScores, LayerScores, LayerSelection
from holdfast.files.atomic import read_jsonl, sha256
from holdfast.files.journal import Journal
from holdfast.files.manifest import artifact_hash
from holdfast.files.typed import read_typed
from holdfast.layers.selection import Drawn, select, select_robust
from holdfast.settings.selections import SelectionSettings, selected


def make_scores(
    settings: SelectionSettings,
    *,
    lineage: Sequence[Path],
    data: Path,
    max_length: int,
    layers: Sequence[int],
    seed: int,
    scratch: Path,
) -> LayerScores | DrawnScores:
    """Score decoder ``layers`` of an arm on the safety pairs in ``data``.

    ``lineage`` holds the weights folders that loading the arm reads, its own first. What
    scores them is ``score_layers`` of the module ``holdfast.layers.<kind>``. A killed job goes on
    from the folder ``scratch``, which the caller deletes once the scores are stored.
    """
    score_layers = import_module(f"holdfast.layers.{settings.kind}").score_layers
    model, examples, journal = None, [], None
    if settings.pairs:
        from holdfast.arms.load import load_arm
        from holdfast.engine.batches import encode_pairs
        from holdfast.engine.memory import layer_scores

        header = {
            "inputs": [*map(artifact_hash, lineage), sha256(data)],
            "settings": [settings.model_dump(mode="json"), max_length, seed, list(layers)],
        }
        journal = Journal(scratch / "scores.jsonl", header)
        loaded = load_arm(lineage[0], needs=lambda shape: layer_scores(shape, settings, max_length))
        pairs = read_jsonl(data)[: settings.pairs]
        model, examples = loaded.model, encode_pairs(loaded.tokenizer, pairs, max_length)
    scores: LayerScores | DrawnScores = score_layers(
        model, examples, settings, layers=layers, seed=seed, journal=journal
    )
    return scores


def make_selection(settings: SelectionSettings, chunks: Sequence[Path]) -> LayerSelection:
    """Gather the chunks of all layers; the scores are named after the selection's kind."""
    if settings.drawn:
        drawn = [read_typed(DrawnScores, path) for path in chunks]
        count = sum(len(chunk.layers) for chunk in drawn)
        return select_robust(drawn, cast(Drawn, settings), count)
    (whole,) = (read_typed(LayerScores, path) for path in chunks)
    return select(settings.kind, whole, selected(settings.top_m, len(whole)))
