"""Perplexity by GPTQ's convention (Frantar et al., 2023): the number papers on quantization print.

Rows are joined by blank lines and tokenized once; the tokens are cut into windows, the tail is
dropped. In a window of n tokens the last n - 1 are predicted, each from those before it in the
window. Every window weighs the same: exp of the mean over windows of the mean over n - 1 tokens.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from holdfast.engine.batches import Batch
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.halving import Halving
from holdfast.engine.loss import token_nll
from holdfast.errors import HoldfastError
from holdfast.progress import track


def windows(tokenizer: Any, rows: Sequence[str], window: int) -> Tensor:
    """Return token ids [windows, window]; HoldfastError when the text fills no window.

    The tokenizer puts its beginning-of-sequence token, if it has one, before the first row only.
    """
    tokens = tokenizer("\n\n".join(rows), verbose=False)["input_ids"]
    count = len(tokens) // window
    if count == 0:
        raise HoldfastError(
            f"utility.perplexity.window: the text has {len(tokens)} tokens, fewer than one window "
            f"of {window}; lower the window or give more text"
        )
    return torch.tensor(tokens[: count * window]).view(count, window)


@torch.no_grad()
def window_nll(model: Any, ids: Tensor, batch_size: int = 1) -> dict[str, list[Any]]:
    """Return {"nll": mean NLL of each window in nats, "tokens": predicted tokens of each}.

    ``ids`` is [windows, window]. Logits are taken to float32 before the softmax, in bounded pieces.
    A batch that does not fit in memory is halved; HoldfastError when a single window does not fit.
    """
    nll: list[float] = []
    halving = Halving("perplexity", "lower utility.perplexity.window")
    for batch in track(ids.split(batch_size), "perplexity"):

        def measure(rows: slice, batch: Tensor = batch) -> list[float]:
            part = batch[rows]
            tokens = token_nll(model, Batch(part, torch.ones_like(part), part))
            means: list[float] = tokens.view(len(part), -1).mean(dim=1).tolist()
            if not all(map(math.isfinite, means)):
                raise not_finite_logits(model, "perplexity")
            return means

        nll.extend(itertools.chain.from_iterable(halving(measure, len(batch))))
    return {"nll": nll, "tokens": [ids.shape[1] - 1] * len(nll)}


def perplexity(result: dict[str, list[Any]]) -> float:
    """Return exp of the token-weighted mean NLL of ``window_nll``'s result."""
    total = sum(nll * tokens for nll, tokens in zip(result["nll"], result["tokens"], strict=True))
    return math.exp(total / sum(result["tokens"]))
