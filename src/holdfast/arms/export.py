"""An arm as a plain Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from holdfast.arms.load import load_arm
from holdfast.checkpoints.export import save_checkpoint


def export(weights: str | Path, folder: str | Path) -> None:
    """Compose an arm and write it as one folder that ``AutoModelForCausalLM`` loads."""
    loaded = load_arm(weights)
    save_checkpoint(loaded.model, loaded.tokenizer, folder)
