"""Where a causal language model keeps its decoder layers, and how to run only some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the decoder layers in order; HoldfastError for a model built in another way."""
    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise HoldfastError(
            f"{type(model).__name__} keeps no list of decoder layers: use a decoder-only model "
            "such as Llama, Qwen2 or Mistral"
        )
    return layers


@contextmanager
def skipped(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Let decoder layers hand their input on unchanged, while the model runs its own forward."""
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced_forward(layer, _hand_on))
        yield


@contextmanager
def begun_at(layers: nn.ModuleList, first: int, hidden: Tensor) -> Iterator[None]:
    """Run the decoder layers only from ``first`` on, which gets these hidden states."""
    with skipped(layers[:first]), _changed_input(layers[first], lambda _below: hidden):
        yield


@contextmanager
def head_sees(model: PreTrainedModel, pick: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let the output layer see only what ``pick`` takes of the last states, [rows, tokens, hidden].

    The model's own forward pass goes on from there, so scaled or capped logits stay right. A spread
    model may hand the states over on any card. (``logits_to_keep`` keeps as many positions of every
    row.)
    """
    with _changed_input(model.get_output_embeddings(), pick):
        yield


@contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let a module compute ``forward``; its hooks, and a forward set before, come back on exit."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


@contextmanager
def _changed_input(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    handle = module.register_forward_pre_hook(
        lambda _module, inputs: (change(inputs[0]), *inputs[1:])
    )
    try:
        yield
    finally:
        handle.remove()


def _hand_on(hidden_states: Tensor, *_inputs: object, **_named: object) -> Tensor:
    return hidden_states
