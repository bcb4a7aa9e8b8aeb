"""A checkpoint from its folder: weights, tokenizer, and the cards that they go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from holdfast.checkpoints.code import foreign_code_told
from holdfast.checkpoints.ends import generation_tokens
from holdfast.checkpoints.light import without
from holdfast.checkpoints.placement import Device, device_map
from holdfast.checkpoints.records import (
    CHECKPOINT,
    base_record,
    root_of,
)
from holdfast.checkpoints.tensors import Account, conversions_told, empty_model, refuse
from holdfast.engine.shape import Shape, shape_of
from holdfast.errors import HoldfastError
from holdfast.files.hub import cached_snapshot
from holdfast.files.model_files import require_same

# For losses of object detection and assisted generation: a fifth of a job's start-up.
with without("scipy", "sklearn"):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
    from transformers import PreTrainedTokenizerBase as Tokenizer


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


def checkpoint_of(folder: str | Path) -> Path:
    """Return the folder of the weights behind a ``model.json``; nothing is fetched.

    Raises:
        HoldfastError: they came from the hub and are no longer in its cache, or a file of theirs is
            not what it was when ``model.json`` was written.
    """
    base = base_record(Path(folder))
    if base["source"] == CHECKPOINT:
        return Path(folder) / CHECKPOINT
    if base["revision"]:
        source = cached_snapshot(base["source"], base["revision"])
        again = f"hf download {base['source']} {{file}} --revision {base['revision']}"
        mend = f"fetch it again with `{again} --force-download`"
    else:
        source = Path(base["source"])
        mend = (
            "run again, which makes anew all that comes of it (where nothing is planned, delete"
            f" {folder} first); or put the old file back"
        )
    if base["files"] is not None:  # earlier releases kept none
        require_same(source, base["files"], mend, code=base["trust_remote_code"])
    return source


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


def load_checkpoint(
    source: Path, base: dict[str, Any], cards: Mapping[Device, int], needs: Needs | None
) -> Loaded:
    """Load the Hugging Face folder ``source``, of which ``base`` is the ``model.json``.

    Raises:
        HoldfastError: the folder is missing, its tensors are not the model's, or the weights do not
            fit on the cards.
    """
    if not source.is_dir():
        outside = str(source) == base["source"]
        advice = "put it back, or correct `path`" if outside else "delete its folder and run again"
        raise HoldfastError(f"the checkpoint {source} is missing: {advice}")
    remote = base["trust_remote_code"]
    dtype = getattr(torch, base["dtype"])
    places: dict[str, Device] | None = None
    with foreign_code_told(source):
        if cards:
            config = AutoConfig.from_pretrained(source, trust_remote_code=remote)
            empty = empty_model(config, remote=remote, dtype=dtype)
            places = device_map(empty, cards, _needed(needs, config, base["dtype"]))
        with conversions_told(str(source)):
            model, loading = AutoModelForCausalLM.from_pretrained(
                source,
                trust_remote_code=remote,
                use_safetensors=True,
                dtype=dtype,
                device_map=places,
                generation_config=generation_tokens(source),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    # What a checkpoint lacks was drawn at random: it must not be used.
    refuse(Account.of(loading), str(source))
    tokenizer = load_tokenizer(source, remote=remote)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Loaded(model.requires_grad_(False).eval(), tokenizer, base)


def _needed(needs: Needs | None, config: Any, dtype: str) -> int:
    try:
        return needs(shape_of(config.to_dict(), dtype)) if needs else 0
    except KeyError:
        return 0  # sizes under other names: the weights alone decide
