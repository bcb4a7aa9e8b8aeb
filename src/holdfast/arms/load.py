"""The one loader: a base checkpoint, and the moves that make an arm of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from holdfast.arms.replay_log import REPLAY_LOG, replay_log
from holdfast.arms.stages import stage_module
from holdfast.checkpoints.load import (
    Loaded,
    Needs,
    PreTrainedModel,
    base_of,
    checkpoint_of,
    load_checkpoint,
)
from holdfast.checkpoints.placement import Device, free_cards
from holdfast.checkpoints.records import (
    ARM_FILE,
    CHECKPOINT,
    MODEL_FILE,
    arm_record,
    base_record,
    beside,
)
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json
from holdfast.numerics.stream import STREAM
from holdfast.settings.arms import STAGES

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_arm(
    folder: str | Path,
    *,
    cards: Mapping[Device, int] | None = None,
    needs: Needs | None = None,
) -> Loaded:
    """Load an arm from its weights folder, composing base, checkpoint and moves.

    ``folder`` holds ``model.json`` (a base model) or ``arm.json`` (a stage and its parent). The
    model goes to the roomiest card, or is spread over several where it needs them: see
    ``checkpoints.placement.device_map``.

    Args:
        folder: the arm's weights folder.
        cards: free bytes by card; by default those of all cards that the job sees. Without any the
            model stays on the processors.
        needs: the memory that the stage takes, from the model's shape (``engine.memory``).

    Raises:
        HoldfastError: the folder holds neither, something it refers to is missing or damaged, or
            the weights do not fit on the cards.
    """
    folder = Path(folder)
    cards = free_cards() if cards is None else cards
    if (folder / MODEL_FILE).exists():
        return load_checkpoint(checkpoint_of(folder), base_record(folder), cards, needs)
    if not (folder / ARM_FILE).exists():
        raise HoldfastError(f"{folder} holds no {ARM_FILE} or {MODEL_FILE}: run its stage again")
    arm, base = arm_record(folder), base_of(folder)
    if STAGES[arm.stage].makes == "checkpoint":
        return load_checkpoint(folder / CHECKPOINT, base, cards, needs)
    loaded = load_arm(beside(folder, arm.parent), cards=cards, needs=_moved(needs, folder))
    apply_move(loaded.model, folder)
    return loaded


def apply_move(model: PreTrainedModel, folder: Path) -> None:
    """Put the move stored in ``folder`` on ``model``, its parent, in place."""
    record = arm_record(folder)
    stage_module(record.stage).apply(model, folder, record)


def _moved(needs: Needs | None, folder: Path) -> Needs | None:
    """Return the memory of a stage, or of the replay of a log before it, whichever is more."""
    if not (folder / REPLAY_LOG).exists():
        return needs
    log = replay_log(read_json(folder / REPLAY_LOG), STREAM)
    copies = 2 if log.settings.momentum > 0 else 1
    master = torch.float32.itemsize * copies * log.dimension
    return lambda shape: max(needs(shape) if needs else 0, shape.weights + master)
