"""Suffix evaluation: a change confined to layers l and later leaves the states at l as they were.

The hidden states that enter a layer are computed once a batch and kept; every loss after a change
in that layer or a later one runs only from there on. The model runs its own forward pass, with the
layers below skipped, so whatever it does around its layers (masks, rotary embeddings, capped
logits) stays its own.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from holdfast.engine import limits
from holdfast.engine.architecture import begun_at, decoder_layers, skipped
from holdfast.engine.batches import IGNORED, Batch
from holdfast.engine.halving import Halving
from holdfast.engine.loss import input_device, token_nll
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE_TOKENS = 8
GIB = 2**30
_bearing: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()

Probe = TypeVar("Probe", bound=Hashable)


class Suffix:
    """Losses of a model on some batches, from the states that enter ``layer``.

    The weights of the layers below must not change while it is in use. For an architecture that
    does not bear skipped layers every loss is a full forward pass; a line in the log says so. A
    batch that does not fit in memory is halved; HoldfastError when a single row does not fit.
    """

    def __init__(self, model: PreTrainedModel, batches: Sequence[Batch], layer: int = 0) -> None:
        self._model = model
        self._batches = [batch.to(input_device(model)) for batch in batches]
        self._inputs: list[Tensor] | None = None  # None: the embeddings, computed each time
        self._halving = Halving("a loss", "lower data.max_length")
        self.layer = 0
        self.tokens = sum(int((batch.labels[:, 1:] != IGNORED).sum()) for batch in batches)
        if layer:
            self.advance(layer)

    @torch.no_grad()
    def total(self) -> float:
        """Return the NLL (nats) summed over the response tokens of all batches."""
        return math.fsum(self._row_totals().tolist())

    @torch.no_grad()
    def totals(self, probes: Iterable[Probe]) -> dict[Probe, float]:
        """Return the total under each probe: a change of ``layer`` alone.

        A probe is in force from when the iterator gives it until it is asked for the next. Only
        ``layer`` runs meanwhile; what it puts out under all probes then runs through the layers
        above together, in large batches.
        """
        above = self.layer + 1
        if above == len(self._model_layers()) or not _bears_skipping(self._model):
            return {probe: self.total() for probe in probes}
        states = {probe: list(self._states(above)) for probe in probes}
        sums: dict[Probe, list[float]] = {probe: [] for probe in states}
        for index, batch in enumerate(self._batches):
            at_once = max(1, limits.STACKED_TOKENS // batch.input_ids.numel())
            for start in range(0, len(states), at_once):
                some = list(states)[start : start + at_once]
                stacked = Suffix(self._model, [Batch(*(x.repeat(len(some), 1) for x in batch))])
                stacked._inputs = [torch.cat([states[probe][index] for probe in some])]
                stacked.layer, stacked._halving = above, self._halving
                rows = stacked._row_totals().view(len(some), -1).tolist()
                for probe, row in zip(some, rows, strict=True):
                    sums[probe].extend(row)
        return {probe: math.fsum(rows) for probe, rows in sums.items()}

    @torch.no_grad()
    def advance(self, layer: int) -> None:
        """Go on to the inputs of a later layer, running only the layers in between."""
        if layer == self.layer or not _bears_skipping(self._model):
            return
        inputs = []
        for index, states in enumerate(self._states(layer)):
            inputs.append(states)
            if self._inputs is not None:
                self._inputs[index] = states  # the old ones are let go as they are used up
        self._inputs, self.layer = inputs, layer

    def _row_totals(self) -> Tensor:
        """Return the NLL summed over the response tokens of each row, batch after batch."""
        totals: list[Tensor] = []
        for index, batch in enumerate(self._batches):
            counts = (batch.labels[:, 1:] != IGNORED).sum(dim=1)

            def sums(rows: slice, index: int = index, counts: Tensor = counts) -> Tensor:
                part = Batch(*(whole[rows] for whole in self._batches[index]))
                with self._from_layer(index, rows):
                    nll = token_nll(self._model, part)
                lengths = counts[rows].to(nll.device)
                return torch.segment_reduce(nll, "sum", lengths=lengths, unsafe=True)

            totals += self._halving(sums, len(batch.input_ids))
        return torch.cat(totals)

    def _states(self, layer: int) -> Iterator[Tensor]:
        """Yield what enters a later layer, batch after batch."""
        layers = self._model_layers()
        for index, batch in enumerate(self._batches):

            def states(rows: slice, index: int = index, batch: Batch = batch) -> Tensor:
                with (
                    self._from_layer(index, rows),
                    skipped(layers[layer:]),
                    _output(layers[layer - 1]) as out,
                ):
                    self._model.get_decoder()(input_ids=batch.input_ids[rows], use_cache=False)
                return out[0]

            pieces = self._halving(states, len(batch.input_ids))
            yield pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _model_layers(self) -> Any:
        return decoder_layers(self._model)

    @contextmanager
    def _from_layer(self, index: int, rows: slice) -> Iterator[None]:
        if self._inputs is None:
            yield
            return
        with begun_at(self._model_layers(), self.layer, self._inputs[index][rows]):
            yield


def groups(
    model: PreTrainedModel, batches: Sequence[Batch], cache_gib: float
) -> Iterator[list[Batch]]:
    """Split batches so that the hidden states of a group at one layer take at most ``cache_gib``.

    A batch that takes more on its own is a group of its own.
    """
    width = model.config.get_text_config().hidden_size * model.dtype.itemsize
    group: list[Batch] = []
    room = cache_gib * GIB
    for batch in batches:
        size = batch.input_ids.numel() * width
        if group and size > room:
            yield group
            group, room = [], cache_gib * GIB
        group.append(batch)
        room -= size
    if group:
        yield group


@contextmanager
def _output(layer: Any) -> Iterator[list[Tensor]]:
    """Yield a list that will hold what the layer puts out."""
    out: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _layer, _inputs, output: out.append(output))
    try:
        yield out
    finally:
        handle.remove()


def _bears_skipping(model: PreTrainedModel) -> bool:
    """Say whether the model computes the same logits from a middle layer's inputs; asked once."""
    if model not in _bearing:
        _bearing[model] = _same_logits(model)
    return _bearing[model]


@torch.no_grad()
def _same_logits(model: PreTrainedModel) -> bool:
    tokens = torch.arange(PROBE_TOKENS, device=input_device(model))[None]
    try:
        layers = decoder_layers(model)
        if len(layers) == 1:
            return True
        middle = len(layers) // 2
        with _output(layers[middle - 1]) as out:
            whole = model(input_ids=tokens, use_cache=False).logits.float()
        with begun_at(layers, middle, out[0]):
            suffix = model(input_ids=tokens, use_cache=False).logits.float()
    except (HoldfastError, AttributeError, TypeError, RuntimeError, IndexError, KeyError) as error:
        reason = str(error)
    else:
        tolerance = 64 * torch.finfo(model.dtype).eps * float(whole.nan_to_num().abs().max())
        if torch.allclose(whole, suffix, rtol=0, atol=tolerance, equal_nan=True):
            return True
        reason = "its logits change when it is run from a middle layer"
    print(f"{type(model).__name__}: every loss is a full forward pass ({reason})", file=sys.stderr)
    return False
