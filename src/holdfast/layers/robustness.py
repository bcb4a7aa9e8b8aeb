"""Robustness score S = S_noise + lambda * S_quant: the loss a layer's perturbation costs (4.2)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from holdfast.data.outputs import DrawnScores, Sensitivity
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import Example, make_batches
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.parameters import layer_parameters, linear_modules, put_noise, restored
from holdfast.engine.suffix import Suffix, groups
from holdfast.errors import HoldfastError
from holdfast.files.journal import Journal, finished
from holdfast.numerics.rounding import Grid, quantize_dequantize
from holdfast.numerics.stream import key
from holdfast.progress import track
from holdfast.settings.selections import Robustness

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Probe = tuple[int, int | str]  # a layer, and how it is perturbed: the draw, or "quant"
BASE: Probe = (-1, "base")


@torch.no_grad()
def score_layers(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: Robustness,
    *,
    layers: Sequence[int],
    seed: int,
    journal: Journal | None = None,
) -> DrawnScores:
    """Score a chunk of decoder layers; the model is left as it was, bit for bit.

    The layers are walked once, upwards: each is perturbed under the same kept inputs, which are
    then taken one layer further.

    Losses are in nats a response token of the first ``samples`` examples. The noise of a layer
    depends on seed, draw and parameter name alone, not on the chunk. A killed job goes on from
    ``journal``, which gets a line a layer (and group of batches that are kept at once).

    Raises:
        HoldfastError: a layer does not exist; its weights do not divide into groups; a loss is no
            finite number.
    """
    layer_parameters(model, layers)  # all layers exist
    batches = make_batches(examples[: settings.samples], settings.batch_size)
    totals: dict[Probe, list[float]] = defaultdict(list)  # summed NLL of each group of batches
    tokens = 0
    probes = [*range(settings.draws), "quant"]
    # Kept are a layer's inputs and what it puts out under each probe.
    kept = groups(model, batches, settings.cache_gib / (settings.draws + 2))
    for number, group in enumerate(kept):
        suffix = Suffix(model, group)
        tokens += suffix.tokens

        def unperturbed(suffix: Suffix = suffix) -> float:
            total = suffix.total()
            if not math.isfinite(total):
                raise not_finite_logits(model, "layer sensitivity")
            return total

        totals[BASE].append(finished(journal, f"{number} base", float, unperturbed))
        for layer in track(sorted(layers), "layer sensitivity"):

            def perturbed(layer: int = layer, suffix: Suffix = suffix) -> list[float]:
                suffix.advance(layer)
                sums = list(suffix.totals(_probes(model, layer, settings, seed)).values())
                if not all(map(math.isfinite, sums)):
                    raise HoldfastError(
                        f"the loss is no finite number once layer {layer} is perturbed: lower rho"
                        f" ({settings.rho}), or check the model's weights"
                    )
                return sums

            sums = finished(journal, f"{number} layer {layer}", list[float], perturbed)
            for probe, total in zip(probes, sums, strict=True):
                totals[layer, probe].append(total)
    mean = {probe: math.fsum(sums) / tokens for probe, sums in totals.items()}
    base = mean[BASE]
    return DrawnScores(
        loss=base,
        layers={
            str(layer): Sensitivity(
                noise=[mean[layer, draw] - base for draw in range(settings.draws)],
                quant=mean[layer, "quant"] - base,
            )
            for layer in layers
        },
    )


def _probes(
    model: PreTrainedModel, layer: int, settings: Robustness, seed: int
) -> Iterator[int | str]:
    """Perturb one layer in each way in turn, and name it: the draw, then "quant"."""
    parameters = layer_parameters(model, [layer])
    with restored(parameters) as kept:
        for draw in range(settings.draws):
            stream = key(seed, "sensitivity", direction=draw)
            put_noise(parameters, kept, settings.rho, stream)
            yield draw
    grid = Grid(settings.quant_bits, settings.quant_group_size)
    modules = linear_modules(decoder_layers(model)[layer])
    weights = {name: module.weight for name, module in modules.items()}
    with restored(weights):
        for weight in weights.values():
            weight.copy_(quantize_dequantize(weight, grid))
        yield "quant"
