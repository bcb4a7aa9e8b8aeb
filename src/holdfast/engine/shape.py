"""What a decoder-only model's memory depends on, read from its config.json without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ITEM_SIZE = {"float32": 4, "bfloat16": 2, "float16": 2}
BIASED = ("qwen2",)  # model types whose queries, keys and values have biases without saying so


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder with gated feed-forward blocks (Llama, Qwen2, Mistral); ``item`` in bytes.

    ``heads`` attend, ``cached_heads`` have keys and values; ``inner`` is the feed-forward width;
    ``context`` is the longest sequence, in tokens.
    """

    layers: int
    hidden: int
    inner: int
    heads: int
    cached_heads: int
    head_size: int
    vocabulary: int
    tied: bool
    biased: bool
    item: int
    context: int = 1 << 20

    @property
    def attention_width(self) -> int:
        """Queries of a token, in numbers."""
        return self.heads * self.head_size

    @property
    def cached_width(self) -> int:
        """Keys (or values) of a token in one layer, in numbers."""
        return self.cached_heads * self.head_size

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear modules of one layer."""
        attention = 2 * self.hidden * (self.attention_width + self.cached_width)
        return attention + 3 * self.hidden * self.inner

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        biases = self.attention_width + 2 * self.cached_width if self.biased else 0
        return self.linear_parameters + biases + 2 * self.hidden

    @property
    def parameters(self) -> int:
        """Parameters of the model; tied embeddings count once."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * self.layer_parameters + self.hidden

    @property
    def weights(self) -> int:
        """Bytes of the weights."""
        return self.parameters * self.item

    def row_bytes(self, tokens: int) -> int:
        """Return the bytes that a row of ``tokens`` tokens takes at the peak of a cached pass.

        Counted are keys and values of all layers; what one layer holds besides, which is freed
        before the next (keys and values repeated for every attention head, the attention mask,
        hidden states and the feed-forward block); and the logits of one position, with a float32
        copy.
        """
        cache = 2 * self.layers * self.cached_width * tokens * self.item
        mask = tokens * tokens * (1 + self.item)
        return cache + mask + self.layer_bytes(tokens) + self.vocabulary * (self.item + 4)

    def layer_bytes(self, tokens: int) -> int:
        """Return the bytes that one layer holds for ``tokens`` tokens while it is computed."""
        width = 8 * self.hidden + 3 * self.inner + 2 * self.attention_width
        return tokens * width * self.item


def shape_of(config: Mapping[str, Any], dtype: str | None = None) -> Shape:
    """Read a model's shape from the content of its config.json.

    Args:
        config: the content; that of a model with several parts holds the decoder's as
            ``text_config``.
        dtype: type the weights are loaded in; by default the checkpoint's own.
    """
    whole, config = config, config.get("text_config") or config
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    stored = config.get("dtype") or config.get("torch_dtype") or whole.get("dtype")
    return Shape(
        layers=config["num_hidden_layers"],
        hidden=hidden,
        inner=config.get("intermediate_size") or 4 * hidden,
        heads=heads,
        cached_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or hidden // heads,
        vocabulary=config["vocab_size"],
        tied=bool(whole.get("tie_word_embeddings", False)),
        biased=bool(config.get("attention_bias") or config.get("model_type") in BIASED),
        item=ITEM_SIZE[dtype or str(stored or "float32").removeprefix("torch.")],
        context=config.get("max_position_embeddings") or Shape.context,
    )
