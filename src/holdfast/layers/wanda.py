"""Wanda score of a layer: mean of |W_ij| * RMS of input j over its linear weights.

Sun, Liu, Bair & Kolter, "A simple and effective pruning approach for large language models", ICLR
2024, with the inputs taken at response tokens, as the paper compares it in Figure 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import IGNORED, Batch, Example, make_batches
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.halving import Halving
from holdfast.engine.loss import input_device
from holdfast.engine.parameters import linear_modules
from holdfast.progress import track
from holdfast.settings.selections import Wanda

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def score_layers(
    model: PreTrainedModel, examples: Sequence[Example], settings: Wanda, **_: object
) -> dict[str, float]:
    """Score every decoder layer on the first ``samples`` examples, one forward pass in all.

    A batch that does not fit in memory is halved; HoldfastError when a single row does not fit, or
    where logits are no finite numbers.
    """
    modules = [list(linear_modules(layer).values()) for layer in decoder_layers(model)]
    squares = {module: _zeros(module) for group in modules for module in group}
    batches = make_batches(examples[: settings.samples], settings.batch_size)
    halving, tokens = Halving("Wanda", "lower data.max_length"), 0
    with _observed(squares) as observe:
        for batch in track(batches, "Wanda"):

            def look(rows: slice, batch: Batch = batch) -> int:
                at_response = batch.labels[rows] != IGNORED
                with observe(at_response):
                    ids = batch.input_ids[rows].to(input_device(model))
                    # Padded on the right and causal: no mask needed. One position's logits will do.
                    logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits
                if not bool(logits.isfinite().any(dim=-1).all()):
                    raise not_finite_logits(model, "Wanda")
                return int(at_response.sum())

            tokens += sum(halving(look, len(batch.input_ids)))
    return {
        str(layer): _layer_score({module: squares[module] for module in group}, tokens)
        for layer, group in enumerate(modules)
    }


Observe = Callable[[Tensor], AbstractContextManager[None]]


@contextmanager
def _observed(squares: Mapping[nn.Linear, Tensor]) -> Iterator[Observe]:
    """Yield a context that adds each module's squared inputs, where a [rows, tokens] mask is true.

    They are added once the pass has ended: one that ran out of memory leaves nothing behind.
    """
    mask = torch.empty(0)
    seen: list[tuple[Tensor, Tensor]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        total = squares[module]  # type: ignore[index]
        seen.append((total, inputs[0][mask.to(total.device)].float().square().sum(dim=0)))

    @contextmanager
    def observe(where: Tensor) -> Iterator[None]:
        nonlocal mask
        mask = where
        seen.clear()
        yield
        for total, added in seen:
            total.add_(added)

    handles = [module.register_forward_pre_hook(note) for module in squares]
    try:
        yield observe
    finally:
        for handle in handles:
            handle.remove()


def _zeros(module: nn.Linear) -> Tensor:
    return torch.zeros(module.in_features, device=module.weight.device)


def _layer_score(squares: Mapping[nn.Linear, Tensor], tokens: int) -> float:
    total = 0.0
    for module, square in squares.items():
        scale = (square / tokens).sqrt()
        total += float((module.weight.float().abs() * scale).sum(dtype=torch.float64))
    return total / sum(module.weight.numel() for module in squares)
