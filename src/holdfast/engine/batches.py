"""Training pairs as token batches: prompts masked, padded on the right, bucketed by length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from holdfast.engine.chat import render
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """One conversation: ``input_ids[labels_from:]`` are the targets (response, end of turn)."""

    input_ids: tuple[int, ...]
    labels_from: int


class Batch(NamedTuple):
    """Right-padded rows: all three are [rows, tokens]; labels are -100 where nothing is learnt."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on ``device``."""
        return Batch(*(tensor.to(device) for tensor in self))


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Tokenize a user's turn up to where the assistant's answer begins; no system message added."""
    return _tokens(tokenizer, render(tokenizer, [("user", prompt)], ask=True))


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, prompt: str, response: str, max_length: int
) -> Example:
    """Tokenize a user's turn and its answer; the answer and its end-of-turn token are targets.

    The answer's tokens are those that generation would have to produce after ``encode_prompt``.
    Longer pairs are cut at ``max_length`` tokens; HoldfastError if that leaves no target.
    """
    opening = render(tokenizer, [("user", prompt)], ask=True)
    whole = render(tokenizer, [("user", prompt), ("assistant", response)], ask=False)
    # Some templates have white space after the prompt that the whole conversation lacks.
    answer = whole.removeprefix(opening) if whole.startswith(opening) else response
    start = _tokens(tokenizer, opening)
    # Templates may put white space after the end-of-turn token: generation stops before it.
    targets = _tokens(tokenizer, answer.rstrip())
    if not targets or not _ends_a_turn(tokenizer, targets[-1]):
        targets.append(tokenizer.eos_token_id)
    if len(start) >= max_length:
        raise HoldfastError(
            f"a training prompt has {len(start)} tokens, so max_length {max_length} leaves no room "
            f"for its response: raise max_length or drop the pair (prompt: {prompt[:60]!r})"
        )
    return Example(tuple(start + targets)[:max_length], len(start))


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, rows: Iterable[Mapping[str, str]], max_length: int
) -> list[Example]:
    """Tokenize rows that hold ``prompt`` and ``response``."""
    return [encode_pair(tokenizer, row["prompt"], row["response"], max_length) for row in rows]


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that ends the assistant's turn in the chat template."""
    return encode_pair(tokenizer, "a", "a", max_length=1 << 20).input_ids[-1]


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """Pad rows on the right to the longest one."""
    shape = (len(examples), max(len(example.input_ids) for example in examples))
    input_ids = torch.full(shape, pad_id, dtype=torch.long)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        ids, start = torch.tensor(example.input_ids), example.labels_from
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
        labels[row, start : len(ids)] = ids[start:]
    return Batch(input_ids, attention_mask, labels)


def make_batches(examples: Sequence[Example], batch_size: int, pad_id: int = 0) -> list[Batch]:
    """Group all examples into batches of similar length, longest first (ties in given order)."""
    ordered = sorted(examples, key=lambda example: -len(example.input_ids))
    starts = range(0, len(ordered), batch_size)
    return [collate(ordered[start : start + batch_size], pad_id) for start in starts]


def digest(examples: Sequence[Example]) -> str:
    """Return a hex digest of the examples and their order."""
    content = repr([(example.input_ids, example.labels_from) for example in examples])
    return hashlib.sha256(content.encode()).hexdigest()


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    # The template has written the special tokens already.
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _ends_a_turn(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    added = tokenizer.added_tokens_decoder.get(token)
    return token == tokenizer.eos_token_id or (
        added is not None and added.special and token != tokenizer.unk_token_id
    )
