"""How many rows a batch may have: a number from the settings, or as many as memory holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import torch

from holdfast.engine.host_memory import available_memory
from holdfast.engine.loss import input_device
from holdfast.engine.shape import Shape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BatchSize = int | Literal["auto"]

SHARE = 0.8  # of the free memory; the rest is for what the estimate leaves out
CPU_LIMIT = 64


def rows_a_batch(
    setting: BatchSize, model: PreTrainedModel, tokens: int, limit: int, work: str
) -> int:
    """Return a number as it is; find one for ``auto`` and report it on standard error.

    Args:
        tokens: the most that a row will hold, prompt and completion together.
        limit: what ``auto`` does not exceed.
        work: what the rows are for, as the report begins.
    """
    if setting != "auto":
        return setting
    rows = rows_that_fit(model, tokens, limit)
    print(f"{work}: {rows} rows a batch", file=sys.stderr, flush=True)
    return rows


def rows_that_fit(model: PreTrainedModel, tokens: int, limit: int) -> int:
    """Return a power of two, at most ``limit`` (on processors 64): rows that fit in free memory.

    An estimate, made to be rather low; callers halve a batch that a GPU refuses all the same.
    """
    device = input_device(model)
    if device.type != "cuda":
        limit = min(limit, CPU_LIMIT)
    fit = int(SHARE * free_bytes(device)) // row_bytes(model, tokens)
    return 1 << (max(1, min(fit, limit)).bit_length() - 1)


def row_bytes(model: PreTrainedModel, tokens: int) -> int:
    """Return the bytes that a row of ``tokens`` tokens takes at the peak of a forward pass.

    See ``engine.shape.Shape.row_bytes``.
    """
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    shape = Shape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        heads=heads,
        cached_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_size=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocabulary=config.vocab_size,
        tied=False,
        biased=False,
        item=model.dtype.itemsize,
    )
    return shape.row_bytes(tokens)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device; on a GPU with what PyTorch keeps for later use."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return available_memory()
