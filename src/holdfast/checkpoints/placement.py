"""Which card holds which part of a model: one card where it fits, else layers spread over several.

A spread model is cut between decoder layers, in their order, so that the fullest card is as empty
as it can be; accelerate's hooks carry the hidden states from card to card.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate import dispatch_model
from torch import nn

from holdfast.engine.architecture import decoder_layers
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GIB = 2**30
SHARE = 0.9  # of a card's free memory that may be planned with; the rest goes to fragments
HALVINGS = 40  # of the interval in which the lowest filling is sought
Device = int | str


def free_cards() -> dict[Device, int]:
    """Return the free bytes of every card that this process computes on; none without a GPU.

    One rank of several computes on its own card alone.
    """
    if not torch.cuda.is_available():
        return {}
    own = "LOCAL_RANK" in os.environ
    cards = [torch.cuda.current_device()] if own else range(torch.cuda.device_count())
    return {card: int(torch.cuda.mem_get_info(card)[0]) for card in cards}


def device_map(
    model: PreTrainedModel, free: Mapping[Device, int], needed: int = 0
) -> dict[str, Device]:
    """Return the card of every part of ``model`` by name, as ``from_pretrained`` takes it.

    Args:
        model: the model; its weights may be on the meta device.
        free: free bytes by card, as :func:`free_cards` gives them.
        needed: bytes that the stage takes with its weights, by ``engine.memory``. Where one card
            holds the weights but not all of this, the model is spread; where all cards together do
            not hold it, the stage has to do with less.

    Raises:
        HoldfastError: the weights fit neither on one card nor on all of them.
    """
    weights = _bytes(model)
    roomiest = max(free, key=lambda card: free[card])
    rooms = {card: int(SHARE * size) for card, size in free.items()}
    if max(weights, needed) <= rooms[roomiest]:
        return {"": roomiest}
    blocks = _blocks(model)
    cards = _fill([size for _, size in blocks], rooms)
    if cards is None:
        have = " + ".join(f"{size / GIB:.1f}" for size in free.values())
        raise HoldfastError(
            f"the model's weights take {weights / GIB:.1f} GiB and the cards have {have} GiB free: "
            "give the job more GPUs (gpus), load it in bfloat16 (dtype), or end what else runs "
            "on them"
        )
    return {name: card for (names, _), card in zip(blocks, cards, strict=True) for name in names}


def place(model: PreTrainedModel) -> Any:
    """Move a loaded model to the cards that this process computes on; without any it stays.

    Raises:
        HoldfastError: see :func:`device_map`.
    """
    free = free_cards()
    if not free:
        return model
    places = device_map(model, free)
    if set(places) == {""}:
        return model.to(places[""])
    return dispatch_model(model, places, skip_keys=model._skip_keys_device_placement)


def _fill(sizes: Sequence[int], rooms: Mapping[Device, int]) -> list[Device] | None:
    """Give each block a card, in order, so that the fullest card is as empty as it can be."""
    best = _within(sizes, rooms)
    if best is None:
        return None
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        placed = _within(sizes, {card: int(middle * room) for card, room in rooms.items()})
        if placed is None:
            low = middle
        else:
            best, high = placed, middle
    return best


def _within(sizes: Sequence[int], rooms: Mapping[Device, int]) -> list[Device] | None:
    """Fill one card after the other; None where the last is full before all blocks are placed."""
    placed: list[Device] = []
    cards = iter(rooms.items())
    card, room = next(cards)
    for size in sizes:
        while size > room:
            following = next(cards, None)
            if following is None:
                return None
            card, room = following
        room -= size
        placed.append(card)
    return placed


def _blocks(model: PreTrainedModel) -> list[tuple[list[str], int]]:
    """Return the parts that stay together, in the order of the forward pass, and their bytes.

    The first holds the embeddings and what has no weights, each decoder layer is one, the last
    holds the final norm and the output layer, unless that shares its weights with the embeddings.
    """
    layers = decoder_layers(model)
    shared = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    first: list[str] = []
    last: list[str] = []
    inner: list[str] = []
    for name, module, before in _around(model, layers):
        if module is layers:
            inner = [f"{name}.{index}" for index in range(len(layers))]
            continue
        parameters = list(module.parameters())
        to_first = before or all(id(parameter) in shared for parameter in parameters)
        (first if to_first else last).append(name)
    groups = [first, *([name] for name in inner), last]
    return [(names, _bytes(*map(model.get_submodule, names))) for names in groups if names]


def _around(
    module: nn.Module, layers: nn.ModuleList, prefix: str = "", before: bool = True
) -> Iterator[tuple[str, nn.Module, bool]]:
    """Yield the modules beside the layers and the layers: (name, module, whether it comes before).

    Modules that hold the layers are gone into.
    """
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        holds = any(part is layers for part in child.modules())
        if holds and child is not layers:
            yield from _around(child, layers, f"{path}.", before)
        else:
            yield path, child, before
        before = before and not holds


def _bytes(*modules: nn.Module) -> int:
    """Return the bytes of parameters and buffers; shared ones count once."""
    tensors = itertools.chain.from_iterable(
        itertools.chain(module.parameters(), module.buffers()) for module in modules
    )
    return sum({id(tensor): tensor.nbytes for tensor in tensors}.values())
