"""Plain Hugging Face folders: what training stores, and what users ask for."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from holdfast.checkpoints.legacy import Parent, write_legacy_keys
from holdfast.errors import HoldfastError
from holdfast.files.atomic import atomic_dir
from holdfast.files.refusals import refusal, require_room


def save_checkpoint(model: PreTrainedModel, tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write weights (safetensors), configuration and tokenizer to ``folder``, atomically."""
    with atomic_dir(folder) as made:
        write_checkpoint(model, tokenizer, made)


def write_checkpoint(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    folder: Path,
    parent: Parent | None = None,
    tensors: dict[str, Tensor] | None = None,
    **options: Any,
) -> None:
    """Write weights, configuration and tokenizer to ``folder``, for transformers 4 and 5.

    ``parent`` is what the model was loaded from, where the model does not say it; ``tensors`` are
    written in place of the model's own; ``options`` go to ``save_pretrained``.
    """
    parent = parent or Parent.of(model, tokenizer)
    model.save_pretrained(folder, state_dict=tensors, **options)
    tokenizer.save_pretrained(folder)
    dtype = next(iter(tensors.values())).dtype if tensors else model.dtype
    write_legacy_keys(folder, parent, str(dtype).removeprefix("torch."))


def try_saving(
    model: PreTrainedModel, tokenizer: Tokenizer, folder: str | Path, copies: int = 1
) -> None:
    """Raise HoldfastError now where saving would fail once the work is done.

    All but the weights is written to a temporary folder; the disk of ``folder`` must have room for
    ``copies`` of the weights.
    """
    require_room(folder, copies * sum(weight.nbytes for weight in model.parameters()))
    with TemporaryDirectory() as trial:
        try:
            model.config.save_pretrained(trial)
            model.generation_config.save_pretrained(trial)
            tokenizer.save_pretrained(trial)
            write_legacy_keys(Path(trial), Parent.of(model, tokenizer), "float32")
        except Exception as error:  # transformers raises whatever its checks do
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise refusal(error, trial) or HoldfastError(
                f"{model.config._name_or_path or type(model).__name__}: what this makes of it could"
                f" not be saved ({said}); correct its config.json or tokenizer_config.json"
            ) from error
