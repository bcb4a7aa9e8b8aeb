"""Arms that are a parent and a small move."""

from __future__ import annotations

from pathlib import Path

from holdfast.arms.stages import stage_module, stage_of
from holdfast.checkpoints.records import describe_arm
from holdfast.engine.cost import Cost, measured
from holdfast.files.atomic import atomic_dir
from holdfast.settings.stages import Move


def make_move(
    settings: Move,
    *,
    parent: Path,
    other: Path | None,
    seed: int,
    weights: Path,
) -> Cost:
    """Store in ``weights`` the move that makes an arm of the one in ``parent``; return the cost.

    The stage is the one that ``settings`` are of. ``other`` is the arm that a control imitates, the
    factors of ``lox.make_factors``, or, at rank 0, LoX's base arm.

    Raises:
        HoldfastError: a control imitates an arm that did not move.
    """
    stage = stage_of(settings)
    with measured() as meter, atomic_dir(weights) as made:
        before = stage_module(stage).make(made, settings, parent=parent, other=other, seed=seed)
        read = other if settings.loads_other else None
        describe_arm(made, weights, stage, parent, seed, settings, read)
    usage = meter.usage.after(before) if before else meter.usage
    return Cost(stage=stage, steps=0, resumed=False, forward_passes=0, **usage.model_dump())
