"""Arms that are a parent and a small move: how each is made, and put on the parent's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from holdfast.arms.load import FACTORS, MOVE, REPLAY_LOG, load_arm
from holdfast.arms.lox import change_factors, first_factors
from holdfast.arms.random_move import measure_move
from holdfast.arms.sign_flip import flip_signs
from holdfast.checkpoints.load import device
from holdfast.checkpoints.records import describe_arm
from holdfast.engine.cost import measured
from holdfast.files.atomic import atomic_dir, read_json, write_json
from holdfast.settings.stages import (
    Lox,
    RandomMove,
    Recast,
    SignFlip,
)

Move = Lox | RandomMove | Recast | SignFlip
STAGES: dict[str, type[Move]] = {
    "lox": Lox,
    "random_move": RandomMove,
    "recast": Recast,
    "sign_flip": SignFlip,
}


def make_move(
    stage: str, settings: Move, *, parent: Path, other: Path | None, seed: int, weights: Path
) -> dict[str, Any]:
    """Store in ``weights`` the move that makes an arm of the one in ``parent``; return the cost.

    ``other`` is the arm that a control imitates, the factors of ``make_factors`` for LoX, or, at
    rank 0, its base arm.

    Raises:
        HoldfastError: a control imitates an arm that did not move.
    """
    with measured() as cost, atomic_dir(weights) as made:
        if isinstance(settings, RandomMove):
            assert other
            before, moved = (load_arm(folder, cards={}).model for folder in (parent, other))
            move = measure_move(before, moved, seed, settings.draw)
            write_json(made / MOVE, move.model_dump())
        elif isinstance(settings, SignFlip):
            assert other
            write_json(made / REPLAY_LOG, flip_signs(read_json(other / REPLAY_LOG)))
        elif isinstance(settings, Lox) and settings.rank:
            assert other
            save_file(first_factors(load_file(other / FACTORS), settings.rank), made / FACTORS)
        read = other if isinstance(settings, Lox) and not settings.rank else None
        describe_arm(made, weights, stage, parent, seed, settings, read)
    if isinstance(settings, Lox) and settings.rank:
        assert other
        factoring = read_json(cost_of_factors(other))
        cost["wall_s"] += factoring["wall_s"]
        cost["peak_memory_bytes"] = max(cost["peak_memory_bytes"], factoring["peak_memory_bytes"])
    return cost | {"stage": stage, "steps": 0, "resumed": False, "forward_passes": 0}


def make_factors(folder: Path, *, aligned: Path, base: Path, rank: int) -> dict[str, Any]:
    """Store the top ``rank`` factors of what alignment changed, for every LoX arm of the two.

    Returns the cost, which belongs in the file ``cost_of_factors``: LoX arms count it as theirs.
    """
    with measured() as cost, atomic_dir(folder) as made:
        after, before = (load_arm(arm, cards={}).model for arm in (aligned, base))
        save_file(change_factors(after, before, rank, device()), made / FACTORS)
    return cost


def cost_of_factors(folder: Path) -> Path:
    """Return where the cost of the factors in ``folder`` is kept: beside them."""
    return folder.with_name(f"{folder.name}.cost.json")
