"""Choosing parameters by decoder layer, putting them back, and telling two models apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from holdfast.engine.architecture import decoder_layers
from holdfast.errors import HoldfastError
from holdfast.numerics.noise import add_normal_
from holdfast.numerics.stream import Key

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FINGERPRINT_ELEMENTS = 4096


def layer_parameters(
    model: PreTrainedModel, layers: Sequence[int] | None
) -> dict[str, nn.Parameter]:
    """Return the parameters of the given decoder layers (None: of the whole model) by full name.

    Raises HoldfastError for a layer that the model does not have.
    """
    named = dict(model.named_parameters())
    if layers is None:
        return named
    stack = decoder_layers(model)
    for layer in layers:
        if not 0 <= layer < len(stack):
            raise HoldfastError(
                f"layer {layer} does not exist: the model has layers 0 to {len(stack) - 1}"
            )
    chosen = {id(parameter) for layer in layers for parameter in stack[layer].parameters()}
    return {name: parameter for name, parameter in named.items() if id(parameter) in chosen}


def linear_modules(layer: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear modules of one decoder layer by name within the layer."""
    return {name: module for name, module in layer.named_modules() if isinstance(module, nn.Linear)}


@contextmanager
def restored(parameters: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Put the parameters back bit for bit on exit, from a copy of them that is yielded."""
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        yield kept
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(kept[name])


def put_noise(
    parameters: Mapping[str, Tensor], kept: Mapping[str, Tensor], scale: float, stream: Key
) -> None:
    """Set every parameter to its copy in ``kept`` plus ``scale`` times the noise of its name.

    The sum is formed in float32 and rounded once.
    """
    for name, parameter in parameters.items():
        add_normal_(parameter, scale, stream, name, base=kept[name])


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> str:
    """Return a digest of every parameter's name, shape, type and evenly spaced values.

    It tells checkpoints apart in milliseconds; it is no checksum of all the bytes.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // FINGERPRINT_ELEMENTS)].float().cpu()
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        digest.update(sample.contiguous().numpy().tobytes())
    return digest.hexdigest()
