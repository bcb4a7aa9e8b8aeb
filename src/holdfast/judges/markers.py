"""Model text inside a judge's prompt: markers in it could end its place and speak for the judge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Return the texts that the tokenizer would turn into special tokens."""
    added = tokenizer.added_tokens_decoder.values()
    return {str(token) for token in added if token.special} | set(tokenizer.all_special_tokens)


def neutralize(text: str, markers: Iterable[str]) -> str:
    """Put a space after the first character of every marker: it stays legible and does nothing."""
    for marker in sorted(markers, key=lambda marker: (-len(marker), marker)):
        text = text.replace(marker, f"{marker[0]} {marker[1:]}") if len(marker) > 1 else text
    return text
