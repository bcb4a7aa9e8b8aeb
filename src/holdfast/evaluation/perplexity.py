"""Perplexity by GPTQ's convention (Frantar et al., 2023): the number papers on quantization print.

Rows are joined by blank lines and tokenized once; the tokens are cut into windows, the tail is
dropped. In a window of n tokens the last n - 1 are predicted, each from those before it in the
window. Every window weighs the same: exp of the mean over windows of the mean over n - 1 tokens.
On request each window begins with the beginning-of-sequence token, in the place of a token of the
text: some models (Gemma) need it in order to predict.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.data.outputs import Windows
from holdfast.engine.batches import IGNORED, Batch
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.halving import Halving
from holdfast.engine.loss import token_nll
from holdfast.errors import HoldfastError
from holdfast.progress import track

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def windows(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[str], window: int, bos: bool = False
) -> Tensor:
    """Return token ids [windows, window].

    The tokenizer puts its beginning-of-sequence token, if it puts one, before the first row only;
    with ``bos`` every window has it, and one token of the text less.

    Raises:
        HoldfastError: the text fills no window, or there is no such token.
    """
    first = tokenizer.bos_token_id
    if bos and first is None:
        raise HoldfastError(
            "utility.perplexity.bos is true, but the tokenizer has no beginning-of-sequence token:"
            " set it to false"
        )
    tokens = tokenizer("\n\n".join(rows), verbose=False)["input_ids"]
    if bos:
        text, taken = tokens[1:] if tokens[:1] == [first] else tokens, window - 1
        starts = range(0, len(text), taken)
        tokens = [token for start in starts for token in (first, *text[start : start + taken])]
    count = len(tokens) // window
    if count == 0:
        raise HoldfastError(
            f"utility.perplexity.window: the text has {len(tokens)} tokens, fewer than one window "
            f"of {window}; lower the window or give more text"
        )
    return torch.tensor(tokens[: count * window]).view(count, window)


@torch.no_grad()
def window_nll(model: PreTrainedModel, ids: Tensor, batch_size: int = 1) -> Windows:
    """Return the mean NLL of each window, and its predicted tokens.

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
    return Windows(nll=nll, tokens=[ids.shape[1] - 1] * len(nll))


@torch.no_grad()
def bos_share(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: Tensor
) -> float | None:
    """Return the share of a window's NLL that a beginning-of-sequence token takes away.

    ``ids`` is [windows, window], of which the last is measured: 0.0 where it begins with that token
    or is too short, or where the tokenizer puts none before a text; None where the share is no
    finite number, which is no reason to lose the perplexity.
    """
    first, window = tokenizer.bos_token_id, ids[-1:, :-1]
    begun = tokenizer("a")["input_ids"][:1] == [first] != [None]
    if not begun or window.shape[1] < 2 or window[0, 0] == first:
        return 0.0
    longer = torch.cat([torch.full((1, 1), first), window], dim=1)
    learnt = longer.clone()
    learnt[:, :2] = IGNORED
    without = token_nll(model, Batch(window, torch.ones_like(window), window)).mean()
    with_it = token_nll(model, Batch(longer, torch.ones_like(longer), learnt)).mean()
    share = float((without - with_it) / without)
    return share if math.isfinite(share) else None


def perplexity(result: Windows) -> float:
    """Return exp of the token-weighted mean NLL of ``window_nll``'s result."""
    total = sum(nll * tokens for nll, tokens in zip(result.nll, result.tokens, strict=True))
    return math.exp(total / sum(result.tokens))
