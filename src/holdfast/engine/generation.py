"""Greedy decoding of chat prompts in batches that shrink as rows finish."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from holdfast.engine.batch_size import BatchSize, rows_a_batch
from holdfast.engine.batches import encode_prompt, end_of_turn
from holdfast.engine.decoding import decoding
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.halving import Halving
from holdfast.engine.loss import input_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_ROWS = 256  # of a batch whose size is found
KEPT_SHARE = 0.8  # finished rows leave the batch, cache and all, once only this share goes on


@dataclass(frozen=True)
class Completion:
    """Generated text; ``tokens`` leaves the stop token out, ``finished`` says it was reached."""

    text: str
    tokens: int
    finished: bool


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: BatchSize,
    on_done: Callable[[int, Completion], None],
    done: Collection[int] = (),
) -> None:
    """Complete every prompt greedily and call ``on_done(index, completion)`` batch by batch.

    Prompts are batched by length, longest first, so that running out of memory shows at once; a
    batch that does not fit is halved. The batches depend on all prompts, never on ``done`` (the
    indices finished before an interruption, not reported again), so a resumed run gives the same
    bytes. That holds for a ``batch_size`` given as a number. For ``auto`` it is found from free
    memory: where a resumed run finds another one, logits of the prompts still to do may differ in
    their last bits, as they may between two machines.

    Raises:
        HoldfastError: a single prompt does not fit into memory; logits are no finite numbers.
    """
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    stops, done = stop_tokens(model, tokenizer), frozenset(done)
    if len(done) == len(prompts):
        return
    longest = max(map(len, encoded))
    batch_size = rows_a_batch(batch_size, model, longest + max_new_tokens, MOST_ROWS, "generation")
    order = sorted(range(len(prompts)), key=lambda index: (-len(encoded[index]), index))
    halving = Halving("generation", "lower generation.max_new_tokens")

    def complete(batch: list[int], part: slice) -> None:
        rows = batch[part]
        if all(index in done for index in rows):
            return
        outputs = _greedy(model, [encoded[index] for index in rows], max_new_tokens, stops)
        for index, tokens in zip(rows, outputs, strict=True):
            if index not in done:
                on_done(index, _completion(tokenizer, tokens, stops))

    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        halving(partial(complete, batch), len(batch))


def stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return every token that ends an answer: the generation config's and the chat template's."""
    configured = model.generation_config.eos_token_id
    stops = configured if isinstance(configured, Iterable) else [configured]
    candidates = {*stops, tokenizer.eos_token_id, end_of_turn(tokenizer)}
    return frozenset(candidates - {None})


def _completion(
    tokenizer: PreTrainedTokenizerBase, tokens: list[int], stops: frozenset[int]
) -> Completion:
    finished = bool(tokens) and tokens[-1] in stops
    kept = tokens[:-1] if finished else tokens
    return Completion(tokenizer.decode(kept, skip_special_tokens=True), len(kept), finished)


def _greedy(
    model: PreTrainedModel, rows: list[list[int]], max_new_tokens: int, stops: frozenset[int]
) -> list[list[int]]:
    device = input_device(model)
    state = decoding(model, rows, max_new_tokens)
    stop_ids = torch.tensor(sorted(stops), device=device)
    new_tokens = torch.zeros(len(rows), max_new_tokens, dtype=torch.long, device=device)
    held = torch.arange(len(rows), device=device)  # the row of `new_tokens` that each row is
    going = torch.ones(len(rows), dtype=torch.bool, device=device)
    for step in range(max_new_tokens):
        logits = state.logits()
        chosen = logits.argmax(dim=-1)
        broken = (~logits.gather(1, chosen.unsqueeze(1)).isfinite()).sum().to(device)
        chosen = chosen.to(device)
        new_tokens[held, step] = chosen
        going &= torch.isin(chosen, stop_ids, invert=True)
        # A step's one transfer: a GPU is waited for here.
        left, not_finite = torch.stack([going.sum(), broken]).tolist()
        if not_finite:
            raise not_finite_logits(model, "generation")
        if left == 0:
            break
        if left <= KEPT_SHARE * len(going):
            keep = going.nonzero().squeeze(1)
            held, chosen, going = held[keep], chosen[keep], going[keep]
            state.keep(keep)
        state.add(chosen)
    return [_until_stop(row, stops) for row in new_tokens.tolist()]


def _until_stop(tokens: list[int], stops: frozenset[int]) -> list[int]:
    """Cut after the first stop token: a finished row went on until it left the batch."""
    end = next((place for place, token in enumerate(tokens) if token in stops), len(tokens))
    return tokens[: end + 1]
