"""Two ways to the next tokens' logits: from a cache, and anew from the whole text.

A cache is quick, and wrong where a model keeps its states elsewhere or minds the padding before a
text. One probe a model compares the two and decides.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from holdfast.engine.architecture import head_sees
from holdfast.engine.cache import keep_rows, roomy_cache
from holdfast.engine.loss import input_device
from holdfast.errors import HoldfastError

PROBE = ((9, 4, 7, 5, 3, 8, 6, 2), (5, 8, 3), (7, 2, 9, 6, 4), (3, 6))  # texts of unequal length
PROBE_STEPS = ((4, 7, 2, 9), (8, 5, 6))  # what follows each; before the second, the last row leaves
# Of the logits' size: 16 roundings, and what a quantized activation may jump by.
ROUNDINGS, LEAST_TOLERANCE, QUANTIZED_TOLERANCE = 16, 1e-3, 0.25

_caching: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


class Decoding(Protocol):
    """Rows of texts that grow by a token at a time."""

    def logits(self) -> Tensor:
        """Return the logits of the token that comes next, [rows, vocabulary]."""

    def add(self, tokens: Tensor) -> None:
        """Let each row go on with its token of ``tokens``, [rows]."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""


def decoding(model: Any, rows: list[list[int]], new_tokens: int) -> Decoding:
    """Return what decodes ``rows`` of token ids, which grow by at most ``new_tokens``."""
    kind = Cached if decodes_from_cache(model) else Recomputed
    return kind(model, rows, new_tokens)


def decodes_from_cache(model: Any) -> bool:
    """Say whether a cache gives the logits that the whole text gives; asked once a model.

    Where it does not, a line in the log says so. Ask before noise is put on a model whose amount
    depends on how tokens are split over passes.
    """
    if model not in _caching:
        try:
            _caching[model] = _same_logits(model)
        except torch.OutOfMemoryError:
            return True  # the first batch, halved, will say so
    return _caching[model]


class Cached:
    """Each pass reads the new tokens; rows end together, padded before their first token."""

    def __init__(self, model: Any, rows: list[list[int]], new_tokens: int) -> None:
        longest, device = max(map(len, rows)), input_device(model)
        padded = [[row[0]] * (longest - len(row)) + row for row in rows]
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        self._model = model
        self._ids = torch.tensor(padded, device=device)
        self._positions = (mask.cumsum(dim=1) - 1).clamp(min=0).to(device)
        self._mask = torch.cat([mask, mask.new_ones(len(rows), new_tokens)], dim=1).to(device)
        self._seen = longest
        self._name, self._cache = _cache_argument(model), roomy_cache(model.config)

    def logits(self) -> Tensor:
        """Return the logits of the token that comes next, [rows, vocabulary]."""
        mask = self._mask[:, : self._seen]
        if self._name == "cache_params" and self._ids.shape[1] < self._seen:
            mask = mask[:, -1:]  # a model of states alone asks about the tokens of this pass
        logits: Tensor = self._model(
            input_ids=self._ids,
            attention_mask=mask,
            position_ids=self._positions,
            use_cache=True,
            logits_to_keep=1,
            **{self._name: self._cache},
        ).logits
        return logits[:, -1]

    def add(self, tokens: Tensor) -> None:
        """Let each row go on with its token of ``tokens``, [rows]."""
        self._ids, self._positions = tokens.unsqueeze(1), self._positions[:, -1:] + 1
        self._seen += 1

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self._ids, self._positions = self._ids[rows], self._positions[rows]
        self._mask = self._mask[rows]
        keep_rows(self._cache, rows)


class Recomputed:
    """Each pass reads all tokens; rows begin together, so a causal model sees no padding."""

    def __init__(self, model: Any, rows: list[list[int]], new_tokens: int) -> None:
        device = input_device(model)
        texts = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        room = texts.new_zeros(len(rows), new_tokens)
        self._model = model
        self._ids = torch.cat([texts, room], dim=1).to(device)
        self._lengths = torch.tensor([len(row) for row in rows], device=device)
        self._longest = texts.shape[1]

    def logits(self) -> Tensor:
        """Return the logits of the token that comes next, [rows, vocabulary]."""
        return last_logits(self._model, self._ids[:, : self._longest], self._lengths - 1)

    def add(self, tokens: Tensor) -> None:
        """Let each row go on with its token of ``tokens``, [rows]."""
        self._ids[torch.arange(len(tokens), device=tokens.device), self._lengths] = tokens
        self._lengths = self._lengths + 1
        self._longest += 1

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self._ids, self._lengths = self._ids[rows], self._lengths[rows]


def last_logits(model: Any, input_ids: Tensor, ends: Tensor, cache: Any = None) -> Tensor:
    """Return the logits, [rows, vocabulary], after token ``ends`` of each row.

    ``input_ids``, [rows, tokens], are padded behind; ``cache`` holds what comes before them.
    """

    def last(hidden: Tensor) -> Tensor:
        rows = torch.arange(len(ends), device=hidden.device)
        return hidden[rows, ends.to(hidden.device)].unsqueeze(0)

    with head_sees(model, last):
        past = {} if cache is None else {"past_key_values": cache}
        logits: Tensor = model(input_ids=input_ids, use_cache=cache is not None, **past).logits
    return logits[0]


def _cache_argument(model: Any) -> str:
    """Return the name by which the model takes a cache."""
    takes = inspect.signature(model.forward).parameters
    states_alone = "cache_params" in takes and "past_key_values" not in takes
    return "cache_params" if states_alone else "past_key_values"


@torch.no_grad()
def _same_logits(model: Any) -> bool:
    whole = torch.cat(_probe(Recomputed, model))
    try:
        cached = torch.cat(_probe(Cached, model))
    except torch.OutOfMemoryError:
        raise
    except (
        HoldfastError, AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError
    ) as error:  # fmt: skip
        reason = next(iter(str(error).splitlines()), type(error).__name__)
    else:
        # Most rows must agree: one may differ where a router's choice was close.
        difference = ((whole - cached).norm(dim=1) / whole.norm(dim=1)).median()
        if not bool(whole.isfinite().all()) or bool(difference <= _tolerance(model)):
            return True
        reason = "its logits change when it goes on from a cache"
    print(
        f"{type(model).__name__}: every new token is computed from the whole text, slowly"
        f" ({reason})",
        file=sys.stderr,
    )
    return False


def _probe(kind: type[Cached] | type[Recomputed], model: Any) -> list[Tensor]:
    """Return the float32 logits of every step of a decoding whose tokens are given."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = [[token % vocabulary for token in row] for row in PROBE]
    state, device = kind(model, rows, len(PROBE_STEPS)), input_device(model)
    seen = [state.logits().float()]
    for tokens in PROBE_STEPS:
        kept = torch.arange(len(tokens), device=device)
        if len(tokens) < len(seen[-1]):
            state.keep(kept)
        state.add(torch.tensor([token % vocabulary for token in tokens], device=device))
        seen.append(state.logits().float())
    return seen


def _tolerance(model: Any) -> float:
    if getattr(model.config, "quantization_config", None):
        return QUANTIZED_TOLERANCE
    return max(LEAST_TOLERANCE, ROUNDINGS * torch.finfo(model.dtype).eps)
