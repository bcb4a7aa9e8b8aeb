"""The one loader: a base checkpoint, and the moves that make an arm of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from holdfast.checkpoints.code import foreign_code_told
from holdfast.checkpoints.light import without
from holdfast.checkpoints.placement import Device, device_map, free_cards
from holdfast.checkpoints.records import (
    ARM_FILE,
    CHECKPOINT,
    MODEL_FILE,
    arm_record,
    base_record,
    root_of,
)
from holdfast.engine.shape import Shape, shape_of
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json
from holdfast.files.hub import cached_snapshot

# For losses of object detection and assisted generation: a fifth of a job's start-up.
with without("scipy", "sklearn"):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
    from transformers import PreTrainedTokenizerBase as Tokenizer

REPLAY_LOG = "replay.json"
TRAINED = ("first_order", "smoothed_first_order")  # stages that store a whole checkpoint

Needs = Callable[[Shape], int]  # bytes, weights included


@dataclass(frozen=True)
class Loaded:
    """A live model in evaluation mode, its tokenizer, and what ``model.json`` says of its base."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    base: dict[str, Any]


def device() -> torch.device:
    """Return the device that jobs compute on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
        return _load(checkpoint_of(folder), base_record(folder), cards, needs)
    if not (folder / ARM_FILE).exists():
        raise HoldfastError(f"{folder} holds no {ARM_FILE} or {MODEL_FILE}: run its stage again")
    arm, base = arm_record(folder), base_of(folder)
    if arm.stage in TRAINED:
        return _load(folder / CHECKPOINT, base, cards, needs)
    from holdfast.arms.moves import apply_move

    loaded = load_arm(folder / arm.parent, cards=cards, needs=_moved(needs, folder))
    apply_move(loaded.model, folder)
    return loaded


def checkpoint_of(folder: str | Path) -> Path:
    """Return the folder of the weights behind a ``model.json``; nothing is fetched.

    Raises:
        HoldfastError: they came from the hub and are no longer in its cache.
    """
    base = base_record(Path(folder))
    if base["source"] == CHECKPOINT:
        return Path(folder) / CHECKPOINT
    if base["revision"]:
        return cached_snapshot(base["source"], base["revision"])
    return Path(base["source"])


def base_of(folder: str | Path) -> dict[str, Any]:
    """Return the ``model.json`` at the root of an arm's lineage."""
    return base_record(root_of(Path(folder)))


def load_tokenizer(source: str | Path, remote: bool = False) -> Tokenizer:
    """Load a tokenizer and give it a padding token when it has none.

    Raises:
        HoldfastError: the tokenizer has no end-of-sequence token to pad with, or needs code of its
            own that may not be run.
    """
    with foreign_code_told(source):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=remote)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise HoldfastError(f"the tokenizer of {source} has neither a pad nor an eos token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _load(
    source: Path, base: dict[str, Any], cards: Mapping[Device, int], needs: Needs | None
) -> Loaded:
    if not source.is_dir():
        raise HoldfastError(f"the checkpoint {source} is missing: delete its folder and run again")
    remote = base["trust_remote_code"]
    dtype = getattr(torch, base["dtype"])
    places: dict[str, Device] | None = None
    with foreign_code_told(source):
        if cards:
            config = AutoConfig.from_pretrained(source, trust_remote_code=remote)
            with torch.device("meta"):
                empty = AutoModelForCausalLM.from_config(
                    config, dtype=dtype, trust_remote_code=remote
                )
            places = device_map(empty, cards, _needed(needs, config, base["dtype"]))
        model = AutoModelForCausalLM.from_pretrained(
            source,
            trust_remote_code=remote,
            use_safetensors=True,
            dtype=dtype,
            device_map=places,
        )
    tokenizer = load_tokenizer(source, remote=remote)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Loaded(model.requires_grad_(False).eval(), tokenizer, base)


def _moved(needs: Needs | None, folder: Path) -> Needs | None:
    """Return the memory of a stage, or of the replay of a log before it, whichever is more."""
    from holdfast.arms.replay_log import replay_log
    from holdfast.numerics.stream import STREAM

    if not (folder / REPLAY_LOG).exists():
        return needs
    log = replay_log(read_json(folder / REPLAY_LOG), STREAM)
    copies = 2 if log.settings.momentum > 0 else 1
    master = torch.float32.itemsize * copies * log.dimension
    return lambda shape: max(needs(shape) if needs else 0, shape.weights + master)


def _needed(needs: Needs | None, config: Any, dtype: str) -> int:
    try:
        return needs(shape_of(config.to_dict(), dtype)) if needs else 0
    except KeyError:
        return 0  # sizes under other names: the weights alone decide
