"""Loading put off: what a job may not need is neither imported nor read before it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def loader_of(
    folder: str | Path,
) -> Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]:
    """Return what loads the model and the tokenizer of a weights folder, when it is called."""

    def load() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        from holdfast.arms.load import load_arm

        loaded = load_arm(folder)
        return loaded.model, loaded.tokenizer

    return load
