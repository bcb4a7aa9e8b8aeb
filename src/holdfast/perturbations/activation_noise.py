"""Gaussian noise on the output of every decoder layer, relative to its own spread.

The noise of a token depends on (seed, layer, the tokens of its text up to and including itself): a
prompt meets the same noise whatever batch it lands in, however it is padded, and whether or not
generation keeps a key/value cache. Texts with a common beginning share its noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import (
    CacheLayerMixin,
    DynamicLayer,
    LinearAttentionCacheLayerMixin,
)

from holdfast.engine.architecture import decoder_layers
from holdfast.errors import HoldfastError
from holdfast.numerics.noise import keyed_hash, normal_rows
from holdfast.numerics.stream import Key, key
from holdfast.settings.perturbations import ActivationNoise

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PURPOSE = "activation_noise"


def perturb(
    model: PreTrainedModel, settings: ActivationNoise, level: str, noise_seed: int
) -> AbstractContextManager[None]:
    """Return the context in which ``model`` has the noise of a level of ``settings``."""
    return activation_noise(model, float(level), settings.scope, noise_seed)


@contextmanager
def activation_noise(
    model: PreTrainedModel, alpha: float, scope: Literal["token", "tensor"], seed: int
) -> Iterator[None]:
    """Add ``alpha * std * N(0, 1)`` to every decoder layer's output.

    The standard deviation is taken in float32 over the hidden dimension of each token (``token``)
    or over the whole output (``tensor``, which makes it depend on the batch and its padding).
    """
    layers = decoder_layers(model)
    text = _TextHash(key(seed, PURPOSE), len(layers))
    with ExitStack() as stack:
        decoder = model.get_decoder()
        before = decoder.register_forward_pre_hook(text.before, with_kwargs=True)
        after = decoder.register_forward_hook(text.after)
        stack.callback(before.remove)
        stack.callback(after.remove)
        for index, layer in enumerate(layers):
            hook = _noise_hook(text, alpha, scope, f"layers.{index}")
            stack.callback(layer.register_forward_hook(hook).remove)
        yield


def _noise_hook(text: _TextHash, alpha: float, scope: str, name: str) -> Any:
    dimension = -1 if scope == "token" else None

    def hook(_layer: nn.Module, _inputs: object, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        rows = text.prefix.to(hidden.device).flatten()
        noise = normal_rows(rows, hidden.shape[-1], text.key, name).view(hidden.shape)
        exact = hidden.float()
        spread = exact.std(dim=dimension, correction=0, keepdim=True)
        noisy = torch.addcmul(exact, noise, spread, value=alpha).to(hidden.dtype)
        return (noisy, *output[1:]) if isinstance(output, tuple) else noisy

    return hook


class _TextHash:
    """Keeps ``prefix``: for every token of the running forward pass, a hash of its text so far.

    The hash of a prefix is the sum, modulo 2^64, of keyed hashes of its (position, token) pairs;
    padding adds nothing. What a key/value cache has seen is kept in the cache itself, as one more
    layer, so that it follows when rows are selected, reordered or cropped.
    """

    def __init__(self, key: Key, layers: int) -> None:
        self.key = key
        self._layers = layers

    def before(self, _decoder: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        tokens = inputs[0] if inputs else named.get("input_ids")
        if tokens is None:
            raise HoldfastError("activation noise needs token ids: call the model with input_ids")
        mask = named.get("attention_mask")
        if mask is not None and mask.dim() != 2:
            raise HoldfastError("activation noise needs an attention mask of shape [rows, tokens]")
        real = torch.ones_like(tokens) if mask is None else mask[:, -tokens.shape[1] :].long()
        seen, count = self._past(_cache(named))
        self._count = count + real.cumsum(dim=1)
        hashes = keyed_hash((self._count << 32) + tokens, self.key, "text") * real
        self.prefix = seen + hashes.cumsum(dim=1)

    def after(self, _decoder: nn.Module, _inputs: object, output: Any) -> None:
        cache = _cache(output) if isinstance(output, Mapping) else None
        if cache is None:
            return
        if len(cache.layers) == self._layers:
            cache.layers.append(DynamicLayer())
        cache.layers[self._layers].update(
            self.prefix[:, None, :, None], self._count[:, None, :, None]
        )

    def _past(self, cache: Cache | None) -> tuple[Tensor | int, Tensor | int]:
        """Return the hash and the number of tokens behind each row of ``cache``, [rows, 1]."""
        if cache is None or not any(map(_begun, cache.layers)):
            return 0, 0
        (length,) = {layer.get_seq_length() for layer in cache.layers[self._layers :]} or {0}
        attention = (x for x in cache.layers[: self._layers] if isinstance(x, CacheLayerMixin))
        if any(layer.get_seq_length() != length for layer in attention) or not length:
            raise HoldfastError("activation noise cannot go on from a cache that began without it")
        history = cache.layers[self._layers]
        return history.keys[:, 0, -1], history.values[:, 0, -1]


def _cache(of: Mapping[str, Any]) -> Cache | None:
    """Return the cache among a decoder's arguments or outputs, by whichever name it has."""
    cache: Cache | None = of.get("past_key_values")
    return cache if cache is not None else of.get("cache_params")


def _begun(layer: Any) -> bool:
    """Whether a cache's layer has seen tokens."""
    if isinstance(layer, LinearAttentionCacheLayerMixin):
        return any(layer.has_previous_state.values())
    return bool(layer.get_seq_length())
