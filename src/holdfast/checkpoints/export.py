"""Plain Hugging Face folders: what first-order training stores, and what users ask for."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from holdfast.checkpoints.load import load_arm
from holdfast.files.atomic import atomic_dir


def save_checkpoint(model: PreTrainedModel, tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write weights (safetensors), configuration and tokenizer to ``folder``, atomically."""
    with atomic_dir(folder) as made:
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)


def export(weights: str | Path, folder: str | Path) -> None:
    """Compose an arm and write it as one folder that ``AutoModelForCausalLM`` loads."""
    loaded = load_arm(weights)
    save_checkpoint(loaded.model, loaded.tokenizer, folder)
