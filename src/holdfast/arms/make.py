"""From a parent's weights to an arm's: load, move, store."""

from __future__ import annotations

import sys
from pathlib import Path

from holdfast.arms.compute import first_order_passes
from holdfast.arms.finite import require_finite
from holdfast.arms.replay_log import REPLAY_LOG
from holdfast.arms.stages import stage_module, stage_of
from holdfast.arms.task import Refined, Task, Trained
from holdfast.arms.training_state import CHECKPOINT as TRAINING_STATE
from holdfast.arms.training_state import TrainingStep
from holdfast.arms.zeroth_order import STEPS
from holdfast.checkpoints.export import save_checkpoint
from holdfast.checkpoints.load import CHECKPOINT
from holdfast.checkpoints.records import describe_arm
from holdfast.engine.cost import Cost
from holdfast.files.atomic import atomic_dir, write_json
from holdfast.settings.stages import FirstOrder, ZerothOrder


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
) -> tuple[Cost, list[TrainingStep]]:
    """Train the arm in folder ``parent``, store a checkpoint in ``weights``; return cost and steps.

    The stage is the one that ``settings`` are of. See ``task.Task`` for the rest; call ``forget``
    once nothing can be lost any more.

    Raises:
        Diverged: a loss or a weight is no finite number.
    """
    stage = stage_of(settings)
    task = Task(parent, data, max_length, seed, selection, scratch, processes)
    resumed = (scratch / TRAINING_STATE).exists()
    trained: Trained = stage_module(stage).make(settings, task)
    require_finite(trained.loaded.model, "first-order", settings)
    with atomic_dir(weights) as made:
        save_checkpoint(trained.loaded.model, trained.loaded.tokenizer, made / CHECKPOINT)
        describe_arm(made, weights, stage, parent, seed, settings)
    cost = Cost(
        stage=stage,
        steps=settings.steps,
        resumed=resumed,
        forward_passes=first_order_passes(settings),
        **trained.usage.model_dump(),
    )
    return cost, trained.history


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
) -> Cost:
    """Refine the arm in folder ``parent`` and store the replay log in ``weights``; return the cost.

    The stage is the one that ``settings`` are of. See ``task.Task`` for the rest; call ``forget``
    once nothing can be lost any more.

    Raises:
        Diverged: a loss or a weight is no finite number.
    """
    stage = stage_of(settings)
    task = Task(parent, data, max_length, seed, selection, scratch)
    resumed = (scratch / STEPS).exists()
    refined: Refined = stage_module(stage).make(settings, task)
    require_finite(refined.loaded.model, "zeroth-order", settings)
    for warning in refined.log["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    with atomic_dir(weights) as made:
        write_json(made / REPLAY_LOG, refined.log)
        describe_arm(made, weights, stage, parent, seed, settings)
    return Cost(
        stage=stage,
        steps=settings.steps,
        resumed=resumed,
        forward_passes=refined.forward_passes,
        **refined.usage.model_dump(),
    )


def forget(scratch: Path) -> None:
    """Delete what a killed job would have gone on from; other stages' work there stays."""
    for name in (TRAINING_STATE, STEPS):
        (scratch / name).unlink(missing_ok=True)
