"""W4A16: weight-only quantization by GPTQ (Frantar et al., 2023) through llm-compressor."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from holdfast.checkpoints.export import write_checkpoint
from holdfast.checkpoints.legacy import Parent
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.parameters import linear_modules
from holdfast.errors import HoldfastError
from holdfast.numerics.rounding import Grid

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def quantize_checkpoint(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    grid: Grid,
    calibration: Sequence[Sequence[int]],
) -> None:
    """Quantize the linear modules of all decoder layers and save a compressed-tensors folder.

    The grid is symmetric, the dampening llm-compressor's default; embeddings and the output head
    keep full precision. ``model`` is used up: load the folder with ``checkpoint.load_model``. The
    same weights and calibration texts give the same bytes.

    Args:
        model: the live model to quantize.
        tokenizer: saved beside it.
        folder: where the checkpoint goes; made when missing.
        grid: bits and what shares a scale: a number of inputs, ``channel`` or ``tensor``.
        calibration: token ids of the texts whose activations GPTQ fits, one list per text.

    Raises:
        HoldfastError: a group size does not divide the inputs of a linear module; no text.
    """
    if not any(calibration):
        raise HoldfastError("GPTQ needs calibration texts: give it at least one")
    _check(model, grid)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier

    parent = Parent.of(model, tokenizer)  # before its name is another's
    _only_warnings()
    texts = [torch.tensor([text], device=model.device) for text in calibration if text]
    batches: Any = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in texts]
    scheme = {"targets": ["Linear"], "weights": _arguments(grid)}
    modifier = GPTQModifier(config_groups={"group_0": scheme}, ignore=["lm_head"])
    with _local_config(model):
        oneshot(
            model=model,
            processor=tokenizer,
            recipe=[modifier],
            dataset=torch.utils.data.DataLoader(batches, batch_size=None),
            num_calibration_samples=len(batches),
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attempting to save a model with offloaded")
            write_checkpoint(model, tokenizer, folder, parent, save_compressed=True)


def _arguments(grid: Grid) -> dict[str, Any]:
    common = {"num_bits": grid.bits, "type": "int", "symmetric": True}
    if isinstance(grid.group_size, int):
        return {**common, "strategy": "group", "group_size": grid.group_size}
    return {**common, "strategy": grid.group_size}


def _check(model: PreTrainedModel, grid: Grid) -> None:
    for index, layer in enumerate(decoder_layers(model)):
        for name, module in linear_modules(layer).items():
            if isinstance(grid.group_size, int) and module.in_features % grid.group_size:
                raise HoldfastError(
                    f"group_size {grid.group_size} does not divide the {module.in_features} inputs "
                    f"of layers.{index}.{name}: use a divisor of it"
                )


def _only_warnings() -> None:
    """Keep llm-compressor's warnings and drop its account of every module."""
    from loguru import logger

    logger.remove()
    logger.add(
        sys.stderr,
        level="WARNING",
        format="{level}: {message}",
        filter=lambda record: record["level"].name != "METRIC",
    )


@contextmanager
def _local_config(model: PreTrainedModel) -> Iterator[None]:
    """Let llm-compressor, which looks its model up by name, find it without the network."""
    kept = model.config._name_or_path, model.name_or_path
    model.config.dtype = model.dtype
    with TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        model.config._name_or_path = model.name_or_path = folder
        try:
            yield
        finally:
            model.config._name_or_path, model.name_or_path = kept
