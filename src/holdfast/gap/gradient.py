"""Gradients that are used parameter by parameter as a backward pass makes them, and then dropped.

So a squared norm takes one float32 copy of the parameters, and the inner product of two mean
gradients no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import IGNORED, Batch
from holdfast.engine.loss import response_nll
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Sums = dict[str, Tensor]


def add_gradient(
    model: PreTrainedModel, batches: Sequence[Batch], sums: Sums, weight: float
) -> None:
    """Add ``weight`` times the gradient of the mean NLL (nats) a response token, in float32."""

    def add(name: str, gradient: Tensor) -> None:
        sums[name].add_(gradient, alpha=weight)

    _descend(model, batches, add)


def along(
    model: PreTrainedModel, batches: Sequence[Batch], direction: Mapping[str, Tensor]
) -> float:
    """Return the inner product of that gradient with ``direction``, summed in float32."""
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)

    def project(name: str, gradient: Tensor) -> None:
        part = torch.dot(gradient.float().reshape(-1), direction[name].view(-1))
        total.add_(part.to(device, torch.float64))

    _descend(model, batches, project)
    return float(total)


def zeros(model: PreTrainedModel) -> Sums:
    """Return float32 zeros in the shape of every parameter."""
    return {n: torch.zeros_like(p, dtype=torch.float32) for n, p in model.named_parameters()}


def square(sums: Sums) -> float:
    """Return the squared Euclidean norm."""
    return sum(float(torch.dot(part.view(-1), part.view(-1))) for part in sums.values())


def _descend(
    model: PreTrainedModel, batches: Sequence[Batch], take: Callable[[str, Tensor], None]
) -> None:
    """Hand every parameter's gradient, batch by batch, to ``take``.

    Raises:
        HoldfastError: a batch does not fit into memory.
    """
    tokens = sum(int((batch.labels[:, 1:] != IGNORED).sum()) for batch in batches)
    with _handed_on(model, take), _recomputed(model):
        for batch in batches:
            try:
                with torch.enable_grad():
                    total, _ = response_nll(model, batch)
                    (total / tokens).backward()
            except torch.OutOfMemoryError:
                raise HoldfastError(
                    f"out of memory in a gradient of {len(batch.input_ids)} rows: lower"
                    " gap.batch_size, or set gap.gradient_copies to 0 to measure none"
                ) from None


@contextmanager
def _handed_on(model: PreTrainedModel, take: Callable[[str, Tensor], None]) -> Iterator[None]:
    handles = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(True)

        def hook(weight: nn.Parameter, name: str = name) -> None:
            assert weight.grad is not None
            take(name, weight.grad)
            weight.grad = None

        handles.append(parameter.register_post_accumulate_grad_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _recomputed(model: PreTrainedModel) -> Iterator[None]:
    """Let the backward pass recompute each layer's activations; dropout stays off."""
    layers = decoder_layers(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    for layer in layers:
        layer.training = True  # of the layer alone: the modules in it stay in evaluation mode
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
        model.gradient_checkpointing_disable()
