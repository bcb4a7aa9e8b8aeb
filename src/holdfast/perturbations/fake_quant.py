"""W4A4: weights and activations of the decoder's linear modules rounded at run time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from holdfast.engine.architecture import decoder_layers
from holdfast.engine.parameters import linear_modules, restored
from holdfast.errors import HoldfastError
from holdfast.numerics.rounding import Grid, quantize_dequantize
from holdfast.settings.quantization import FakeQuant

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def perturb(
    model: PreTrainedModel, settings: FakeQuant, level: str, _noise_seed: int
) -> AbstractContextManager[None]:
    """Return the context in which ``model`` is rounded to the grids of a level of ``settings``."""
    grid = settings.levels[level]
    weights = Grid(grid.bits, grid.group_size)
    return fake_quant(model, weights, Grid(grid.activation_bits, grid.activation_group_size))


@contextmanager
def fake_quant(model: PreTrainedModel, weights: Grid, activations: Grid) -> Iterator[None]:
    """Round the weights of every linear module in the decoder layers, and its inputs as they come.

    Weights go to the nearest point of their grid; activations get the scale of their own values
    (dynamic). Embeddings and the output head keep full precision. On exit the weights are put back
    bit for bit.

    Raises:
        HoldfastError: a group size does not divide the inputs of a linear module, which is named.
    """
    modules = {
        f"layers.{index}.{name}": module
        for index, layer in enumerate(decoder_layers(model))
        for name, module in linear_modules(layer).items()
    }
    for name, module in modules.items():
        _check(name, module, "group_size", weights)
        _check(name, module, "activation_group_size", activations)
    with ExitStack() as stack:
        stack.enter_context(restored({name: module.weight for name, module in modules.items()}))
        for module in modules.values():
            with torch.no_grad():
                module.weight.copy_(quantize_dequantize(module.weight, weights))
            handle = module.register_forward_pre_hook(_rounder(activations))
            stack.callback(handle.remove)
        yield


def _check(name: str, module: nn.Linear, setting: str, grid: Grid) -> None:
    if isinstance(grid.group_size, int) and module.in_features % grid.group_size:
        raise HoldfastError(
            f"{setting} {grid.group_size} does not divide the {module.in_features} inputs of "
            f"{name}: use a divisor of it"
        )


def _rounder(grid: Grid) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (quantize_dequantize(inputs[0], grid), *inputs[1:])

    return hook
