"""Plain Hugging Face folders: what first-order training stores, and what users ask for."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from holdfast.files.atomic import atomic_dir


def save_checkpoint(model: PreTrainedModel, tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write weights (safetensors), configuration and tokenizer to ``folder``, atomically."""
    with atomic_dir(folder) as made:
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
