"""Negative log-likelihood of response tokens, with logits at response positions only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import BaseModelOutputWithPast

from holdfast.engine import limits
from holdfast.engine.architecture import head_sees, replaced_forward
from holdfast.engine.batches import IGNORED, Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def input_device(model: PreTrainedModel) -> torch.device:
    """Return the device that takes the token ids (a model may be spread over several)."""
    device: torch.device = model.get_input_embeddings().weight.device
    return device


def token_nll(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return the NLL (nats, float32, differentiable) of every response token, row by row.

    Logits are computed at response positions only, ``LOGITS_BYTES`` at a time: at a vocabulary of
    128,000 they are most of the memory of a loss. Rows are padded on the right, where a causal
    model cannot look from a real token, so no attention mask is passed and padding changes no loss.
    """
    targets = batch.labels[:, 1:]
    learnt = targets != IGNORED
    expected = targets[learnt].split(_positions(model))
    count = len(expected[0])
    hidden: list[Tensor] = []  # that predict a learnt token: [1, learnt tokens, hidden]

    def first(states: Tensor) -> Tensor:
        hidden.append(states[:, :-1][learnt.to(states.device)].unsqueeze(0))
        return hidden[0][:, :count]

    with head_sees(model, first):
        logits = model(input_ids=batch.input_ids.to(input_device(model)), use_cache=False).logits
    pieces = [_nll(logits, expected[0])]
    for piece, wanted in zip(hidden[0].split(count, dim=1)[1:], expected[1:], strict=True):
        if torch.is_grad_enabled():  # else every piece's logits would wait for the backward pass
            pieces.append(checkpoint(_head_nll, model, piece, wanted, use_reentrant=False))
        else:
            pieces.append(_head_nll(model, piece, wanted))
    return torch.cat(pieces)


def response_nll(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, int]:
    """Return the summed NLL (nats, float32, differentiable) and the number of response tokens."""
    nll = token_nll(model, batch)
    return nll.sum(), nll.numel()


@torch.no_grad()
def response_loss(model: PreTrainedModel, batches: Iterable[Batch]) -> float:
    """Return the mean NLL (nats) a response token over all batches."""
    pieces = [response_nll(model, batch) for batch in batches]
    # One transfer at the end, so that a GPU is not waited for after each batch.
    totals = torch.stack([total for total, _ in pieces]).tolist()
    return math.fsum(totals) / sum(count for _, count in pieces)


def _positions(model: PreTrainedModel) -> int:
    """Return how many positions' logits are computed at once."""
    vocabulary: int = model.get_input_embeddings().weight.shape[0]
    return max(1, limits.LOGITS_BYTES // (4 * vocabulary))


def _head_nll(model: PreTrainedModel, hidden: Tensor, expected: Tensor) -> Tensor:
    """Run only what comes after the decoder, on states of shape [1, tokens, hidden]."""
    with replaced_forward(
        model.get_decoder(), lambda *_, **__: BaseModelOutputWithPast(last_hidden_state=hidden)
    ):
        tokens = torch.zeros(hidden.shape[:2], dtype=torch.long, device=input_device(model))
        return _nll(model(input_ids=tokens, use_cache=False).logits, expected)


def _nll(logits: Tensor, expected: Tensor) -> Tensor:
    return functional.cross_entropy(logits[0].float(), expected.to(logits.device), reduction="none")
