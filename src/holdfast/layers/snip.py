"""SNIP score of a layer: mean of |W| * sum over samples of |dL/dW| over its linear weights.

Lee, Ajanthan & Torr, "SNIP: single-shot network pruning based on connection sensitivity", ICLR
2019, with the loss taken on response tokens, as the paper compares it in Figure 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import Example, collate
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.halving import Halving
from holdfast.engine.loss import response_nll
from holdfast.engine.parameters import linear_modules
from holdfast.files.journal import Journal, finished
from holdfast.progress import track
from holdfast.settings.selections import Snip

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.enable_grad()
def score_layers(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: Snip,
    *,
    journal: Journal | None = None,
    **_: object,
) -> dict[str, float]:
    """Score every decoder layer on the first ``samples`` examples, one backward pass each.

    L is a sample's mean NLL (nats) a response token. |W * g| is summed as soon as a weight's
    gradient is there, which is then dropped: no more than one gradient is alive at a time. A killed
    job goes on from ``journal``, which gets the sums after every sample.

    Raises:
        HoldfastError: a sample does not fit into memory, where there is no smaller batch than
            one; its loss is no finite number.
    """
    stack = decoder_layers(model)
    weights: list[list[Tensor]] = [
        [module.weight for module in linear_modules(layer).values()] for layer in stack
    ]
    sums = torch.zeros(len(stack), dtype=torch.float64)

    def reducer(layer: int) -> Callable[[Tensor], None]:
        def reduce(weight: Tensor) -> None:
            if weight.grad is not None:
                product = weight.detach().float() * weight.grad.float()
                sums[layer] += product.abs_().sum(dtype=torch.float64).cpu()
            weight.grad = None

        return reduce

    with _only_these_learn(model, [weight for group in weights for weight in group]):
        handles = [
            weight.register_post_accumulate_grad_hook(reducer(layer))
            for layer, group in enumerate(weights)
            for weight in group
        ]
        halving = Halving("SNIP", "lower data.max_length")
        try:
            for number, example in enumerate(track(examples[: settings.samples], "SNIP")):

                def descend(_row: slice, example: Example = example) -> None:
                    total, tokens = response_nll(model, collate([example], pad_id=0))
                    if not bool(total.isfinite()):
                        raise not_finite_logits(model, "SNIP")
                    (total / tokens).backward()

                def summed(descend: Callable[[slice], None] = descend) -> list[float]:
                    halving(descend, 1)
                    return sums.tolist()

                sums.copy_(
                    torch.tensor(
                        finished(journal, str(number), list[float], summed), dtype=sums.dtype
                    )
                )
        finally:
            for handle in handles:
                handle.remove()
    return {
        str(layer): float(sums[layer]) / sum(weight.numel() for weight in group)
        for layer, group in enumerate(weights)
    }


@contextmanager
def _only_these_learn(model: PreTrainedModel, weights: list[Tensor]) -> Iterator[None]:
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, learnt in before:
            parameter.requires_grad_(learnt)
