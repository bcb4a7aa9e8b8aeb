"""The answer of a judge that speaks one word: one forward pass, read at the last position.

The tokens that all prompts begin with (the judge's instructions) are run once, and every batch goes
on from their keys and values, if they are enough to make up for the slower attention of such a
pass, which needs a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Cache

from holdfast.engine.batch_size import BatchSize, rows_a_batch
from holdfast.engine.cache import prefix_cache
from holdfast.engine.decoding import decodes_from_cache, last_logits
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.halving import Halving
from holdfast.engine.loss import input_device
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Whole prompts are read at once, so a device is busy with few rows; more only add padding.
TOKENS_A_PASS = 8192
WORTH_SHARING = 1 / 8  # of all tokens: below a tenth, the mask cost more than was saved


@dataclass(frozen=True)
class Answer:
    """The likeliest next token, and the log-odds of the first label against the second."""

    token: int
    log_odds: float


def read_answers(
    model: PreTrainedModel,
    prompts: Mapping[int, list[int]],
    labels: tuple[Sequence[int], Sequence[int]],
    batch_size: BatchSize,
    on_done: Callable[[list[tuple[int, Answer]]], None],
    known: Container[int] = (),
) -> None:
    """Read the next token after every prompt (token ids by index), longest prompts first.

    ``labels`` holds the tokens that spell each of the two labels; the probability of a label is
    the sum over its tokens. ``on_done`` gets each batch as (index, answer); a batch whose indexes
    are all ``known`` is left out. Prompts are padded on the right and read at their own last
    token, which a causal model computes without seeing the padding. A batch that does not fit in
    memory is halved; HoldfastError when a single prompt does not fit.

    Batches and the shared beginning depend on all prompts, never on ``known``: a resumed run gives
    the same bytes, if ``batch_size`` is a number. What ``auto`` finds depends on free memory.
    """
    if all(index in known for index in prompts):
        return
    longest = max(map(len, prompts.values()))
    limit = max(1, TOKENS_A_PASS // longest)
    batch_size = rows_a_batch(batch_size, model, longest, limit, "judge")
    shared = _shared(model, list(prompts.values()))
    halving = Halving("judging", "take a smaller judge")
    for indexes in _batches(prompts, batch_size):
        if all(index in known for index in indexes):
            continue
        batch = [prompts[index] for index in indexes]
        read = partial(_answers, model, batch, labels, shared)
        answers = chain.from_iterable(halving(read, len(batch)))
        on_done(list(zip(indexes, answers, strict=True)))


def common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """Return the longest beginning of all prompts that leaves at least one token of each."""
    first, last = min(prompts), max(prompts)  # the two that differ earliest
    room = min(map(len, prompts)) - 1
    differs = (place for place in range(room) if first[place] != last[place])
    return first[: next(differs, room)]


def spellings(tokenizer: PreTrainedTokenizerBase, label: str) -> list[int]:
    """Return every token that reads as ``label``, whatever its case and surrounding space."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    candidates = (index for index, token in enumerate(tokens) if label in str(token).lower())
    spelled = [index for index in candidates if read_label(tokenizer, index) == label]
    if not spelled:
        raise HoldfastError(f"the judge's tokenizer has no token that reads '{label}'")
    return spelled


def read_label(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """Return a token's text without surrounding space, in lower case."""
    return str(tokenizer.decode([token])).strip().lower()


def _batches(prompts: Mapping[int, list[int]], batch_size: int) -> Iterator[list[int]]:
    order = sorted(prompts, key=lambda index: -len(prompts[index]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _shared(model: PreTrainedModel, prompts: Sequence[list[int]]) -> Cache | None:
    beginning = common_prefix(prompts)
    if len(beginning) * len(prompts) < WORTH_SHARING * sum(map(len, prompts)):
        return None
    try:
        return prefix_cache(model, beginning) if decodes_from_cache(model) else None
    except torch.OutOfMemoryError:
        return None  # the first batch, halved, will say so


def _answers(
    model: PreTrainedModel,
    batch: list[list[int]],
    labels: tuple[Sequence[int], Sequence[int]],
    shared: Cache | None,
    rows: slice,
) -> list[Answer]:
    logits = _last_logits(model, batch[rows], shared)
    likeliest = logits.argmax(dim=-1)
    yes, no = (logits[:, list(tokens)].logsumexp(dim=-1) for tokens in labels)
    odds = yes - no
    if not bool((logits.gather(1, likeliest.unsqueeze(1)).squeeze(1) + odds).isfinite().all()):
        raise not_finite_logits(model, "judging")
    return [Answer(int(token), float(odd)) for token, odd in zip(likeliest, odds, strict=True)]


@torch.no_grad()
def _last_logits(model: PreTrainedModel, prompts: list[list[int]], shared: Cache | None) -> Tensor:
    """Return float32 logits [prompts, vocabulary] after each prompt's last token.

    ``shared`` holds the keys and values of tokens that all prompts begin with.
    """
    start = shared.get_seq_length() if shared is not None else 0
    rests = [torch.tensor(prompt[start:]) for prompt in prompts]
    input_ids = pad_sequence(rests, batch_first=True).to(input_device(model))
    ends = torch.tensor([len(rest) - 1 for rest in rests])
    return last_logits(model, input_ids, ends, shared).float().cpu()
