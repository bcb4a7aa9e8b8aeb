"""From a parent's weights to an arm's: load, move, store."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.arms.compute import first_order_passes, zeroth_order_passes
from holdfast.arms.finite import require_finite
from holdfast.arms.first_order import train
from holdfast.arms.load import REPLAY_LOG, load_arm
from holdfast.arms.smoothed_first_order import train_smoothed
from holdfast.arms.training_state import CHECKPOINT as TRAINING_STATE
from holdfast.arms.training_state import TrainingStep, load_trained
from holdfast.arms.zeroth_order import refine
from holdfast.checkpoints.export import save_checkpoint
from holdfast.checkpoints.load import CHECKPOINT, Loaded, Needs
from holdfast.checkpoints.records import describe_arm
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import Example, encode_pairs
from holdfast.engine.cost import measured
from holdfast.engine.memory import zeroth_order
from holdfast.engine.shape import Shape
from holdfast.files.atomic import (
    atomic_dir,
    read_json,
    read_jsonl,
    write_json,
)
from holdfast.settings.stages import FirstOrder, SmoothedFirstOrder, ZerothOrder

STEPS = "steps.jsonl"


def make_first_order(
    settings: FirstOrder,
    *,
    parent: Path,
    data: Path,
    max_length: int,
    seed: int,
    selection: Path | None = None,
    weights: Path,
    scratch: Path,
    processes: int = 1,
) -> tuple[dict[str, Any], list[TrainingStep]]:
    """Align the arm in folder ``parent``, store a checkpoint in ``weights``; return cost and steps.

    ``data`` holds pairs, cut at ``max_length`` tokens. A killed job goes on from ``scratch``; call
    ``forget`` once nothing can be lost any more. Several ``processes`` share the work, a GPU each;
    the result is the same up to rounding. Smoothed training is one process's, and moves the layers
    in the file ``selection`` (None: all).

    Raises:
        Diverged: a loss or a weight is no finite number.
    """
    resumed = (scratch / TRAINING_STATE).exists()
    smoothed = isinstance(settings, SmoothedFirstOrder)
    stage = "smoothed_first_order" if smoothed else "first_order"
    if processes > 1 and not smoothed:
        from holdfast.arms.distributed import train_on_ranks  # a second of imports

        load = partial(_trainable, parent, data, max_length)
        cost = train_on_ranks(load, settings, seed=seed, scratch=scratch, processes=processes)
        loaded = load_arm(parent, cards={})
        history = load_trained(scratch / TRAINING_STATE, loaded.model)
    else:
        with measured() as cost:
            loaded, examples = _load(parent, data, max_length)
            if isinstance(settings, SmoothedFirstOrder):
                layers = _selected(selection)
                history = train_smoothed(
                    loaded.model, examples, settings, layers=layers, seed=seed, scratch=scratch
                )
            else:
                history = train(loaded.model, examples, settings, seed=seed, scratch=scratch)
    require_finite(loaded.model, "first-order", settings)
    with atomic_dir(weights) as made:
        save_checkpoint(loaded.model, loaded.tokenizer, made / CHECKPOINT)
        describe_arm(made, weights, stage, parent, seed, settings)
    done = {"stage": stage, "steps": settings.steps, "resumed": resumed}
    return cost | done | {"forward_passes": first_order_passes(settings)}, history


def make_zeroth_order(
    settings: ZerothOrder,
    *,
    parent: Path,
    data: Path,
    max_length: int,
    seed: int,
    selection: Path | None,
    weights: Path,
    scratch: Path,
) -> dict[str, Any]:
    """Refine the arm in folder ``parent`` and store the replay log in ``weights``; return the cost.

    ``selection`` is the file of the layers that may move; None moves every parameter. A killed job
    goes on from ``scratch``; call ``forget`` once nothing can be lost any more.

    Raises:
        Diverged: a loss or a weight is no finite number.
    """
    journal = scratch / STEPS
    resumed = journal.exists()
    layers = _selected(selection)

    def needs(shape: Shape) -> int:
        return zeroth_order(shape, settings, max_length, len(layers) if layers else None)

    with measured() as cost:
        loaded, examples = _load(parent, data, max_length, needs)
        log = refine(
            loaded.model,
            examples,
            settings,
            layers=layers,
            seed=seed,
            journal=journal,
        )
    require_finite(loaded.model, "zeroth-order", settings)
    for warning in log["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    with atomic_dir(weights) as made:
        write_json(made / REPLAY_LOG, log)
        describe_arm(made, weights, "zeroth_order", parent, seed, settings)
    passes = zeroth_order_passes(settings, layers, len(decoder_layers(loaded.model)))
    done = {"stage": "zeroth_order", "steps": settings.steps, "resumed": resumed}
    return cost | done | {"forward_passes": passes}


def _selected(selection: Path | None) -> list[int] | None:
    return read_json(selection)["top"] if selection else None


def forget(scratch: Path) -> None:
    """Delete what a killed job would have gone on from; other stages' work there stays."""
    for name in (TRAINING_STATE, STEPS):
        (scratch / name).unlink(missing_ok=True)


def _load(
    parent: Path, data: Path, max_length: int, needs: Needs | None = None
) -> tuple[Loaded, list[Example]]:
    loaded = load_arm(parent, needs=needs)
    return loaded, encode_pairs(loaded.tokenizer, read_jsonl(data), max_length)


def _trainable(parent: Path, data: Path, max_length: int) -> tuple[Any, list[Example]]:
    loaded, examples = _load(parent, data, max_length)
    return loaded.model, examples
