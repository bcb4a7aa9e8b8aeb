"""The one loader: a base checkpoint, and the moves that make an arm of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from safetensors.torch import load_file

from holdfast.arms.lox import extrapolate, extrapolate_fully
from holdfast.arms.random_move import DescribedMove, random_move
from holdfast.arms.recast import recast
from holdfast.arms.replay_log import replay_log
from holdfast.arms.zeroth_order import replay
from holdfast.checkpoints.load import (
    Loaded,
    Needs,
    PreTrainedModel,
    Tokenizer,
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
    checked,
)
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json
from holdfast.numerics.stream import STREAM
from holdfast.settings.stages import Lox, Recast

REPLAY_LOG = "replay.json"
MOVE, FACTORS = "move.json", "factors.safetensors"
TRAINED = ("first_order", "smoothed_first_order")  # stages that store a whole checkpoint
T = TypeVar("T", bound=BaseModel)


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
    if arm.stage in TRAINED:
        return load_checkpoint(folder / CHECKPOINT, base, cards, needs)
    loaded = load_arm(folder / arm.parent, cards=cards, needs=_moved(needs, folder))
    apply_move(loaded.model, folder)
    return loaded


def loader_of(folder: str | Path) -> Callable[[], tuple[PreTrainedModel, Tokenizer]]:
    """Return what loads the model and the tokenizer of a weights folder, when it is called."""

    def load() -> tuple[PreTrainedModel, Tokenizer]:
        loaded = load_arm(folder)
        return loaded.model, loaded.tokenizer

    return load


def apply_move(model: Any, folder: Path) -> None:
    """Put the move stored in ``folder`` on ``model``, its parent, in place."""
    arm = arm_record(folder)
    if arm.stage == "recast":
        recast(model, _settings(Recast, arm.settings, folder))
    elif arm.stage == "random_move":
        random_move(model, checked(DescribedMove, read_json(folder / MOVE), str(folder / MOVE)))
    elif arm.stage == "lox":
        settings = _settings(Lox, arm.settings, folder)
        if arm.other:
            extrapolate_fully(model, load_arm(folder / arm.other, cards={}).model, settings)
        else:
            extrapolate(model, load_file(folder / FACTORS), settings)
    else:
        replay(model, read_json(folder / REPLAY_LOG))


def _moved(needs: Needs | None, folder: Path) -> Needs | None:
    """Return the memory of a stage, or of the replay of a log before it, whichever is more."""
    if not (folder / REPLAY_LOG).exists():
        return needs
    log = replay_log(read_json(folder / REPLAY_LOG), STREAM)
    copies = 2 if log.settings.momentum > 0 else 1
    master = torch.float32.itemsize * copies * log.dimension
    return lambda shape: max(needs(shape) if needs else 0, shape.weights + master)


def _settings(kind: type[T], found: dict[str, Any], folder: Path) -> T:
    return checked(kind, found, str(folder / ARM_FILE))
