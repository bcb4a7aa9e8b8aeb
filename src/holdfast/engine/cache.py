"""Key/value caches: one that grows in place, and one whose beginning many rows share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from holdfast.engine.loss import input_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GROWTH = 64  # tokens of room added when a layer is full
MIN_SHARED = 2  # tokens; a pass for fewer saves nothing


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, views of tensors with room for the tokens to come."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append states of shape [rows, heads, new tokens, head size]; return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[..., :0, :], value_states[..., :0, :]
            self._rooms = (self.keys, self.values)
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._rooms[0].shape[-2]:
            self._rooms = (_grown(self.keys, end), _grown(self.values, end))
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., start:end, :] = states
        self.keys, self.values = (room[..., :end, :] for room in self._rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows."""
        length = self.keys.shape[-2]
        indices = indices.to(self.keys.device)  # a spread model's layers are on several cards
        self._rooms = (self._rooms[0][indices], self._rooms[1][indices])
        self.keys, self.values = (room[..., :length, :] for room in self._rooms)


def roomy_cache(config: Any) -> DynamicCache:
    """Return an empty cache for a model; layers of another kind (sliding windows) stay theirs."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(x) is DynamicLayer else x for x in cache.layers]
    return cache


def keep_rows(cache: DynamicCache, rows: Tensor) -> None:
    """Keep only these rows of a cache, whatever its layers hold."""
    for layer in cache.layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            layer.reorder_cache(rows)  # of states, and of keys and values beside them
        else:
            layer.batch_select_indices(rows)


class PrefixLayer(DynamicLayer):
    """Keys and values of one layer for a beginning that all rows share, held once.

    What a forward pass adds is attended to and forgotten, so one cache serves every batch.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Return the states of shape [rows, heads, new tokens, head size] after the shared ones."""
        rows = len(key_states)
        return (
            torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
        )


@torch.no_grad()
def prefix_cache(model: PreTrainedModel, tokens: Sequence[int]) -> DynamicCache | None:
    """Return a cache for batches of rows that all begin with ``tokens``, which are run once.

    None when there are fewer than two tokens, or when a layer attends to a window or keeps another
    kind of state: what such a layer forgets depends on how the tokens were split over passes.
    """
    cache = DynamicCache(config=model.config)
    if len(tokens) < MIN_SHARED or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    input_ids = torch.tensor([list(tokens)], device=input_device(model))
    model(input_ids=input_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.layers = [PrefixLayer(layer.keys, layer.values) for layer in cache.layers]
    return cache


def _grown(states: Tensor, needed: int) -> Tensor:
    rows, heads, length, size = states.shape
    room: Tensor = torch.empty(
        (rows, heads, needed + GROWTH, size), dtype=states.dtype, device=states.device
    )
    room[..., :length, :] = states
    return room
