"""One evaluation, and a layer's sensitivity: an evaluation for each of its probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import plain
from benchmarks.agreement import losses
from benchmarks.measure import Contest, Result
from benchmarks.models import SEED, Bench
from benchmarks.utilization import evaluation_flops, with_utilization
from holdfast.engine.batches import make_batches
from holdfast.engine.loss import response_loss
from holdfast.layers.robustness import score_layers
from holdfast.numerics.noise import normal
from holdfast.numerics.stream import key
from holdfast.settings.selections import Robustness

BATCH = 8
DRAWS = 8
RHO = 1e-3
BITS = 4


def evaluation(bench: Bench) -> Iterator[Result]:
    """The loss by one pass through all layers: sorted by length, logits at responses only."""
    examples = bench.examples(bench.shape.samples)
    by_length, as_given = make_batches(examples, BATCH), plain.batches(examples, BATCH)
    contest = Contest(
        f"evaluation of the loss, {len(examples)} samples",
        ours=lambda: response_loss(bench.model, by_length),
        plain=lambda: plain.loss(bench.model, as_given),
        check=lambda: losses(
            [response_loss(bench.model, by_length)], [plain.loss(bench.model, as_given)]
        ),
    )
    flops = evaluation_flops(bench, examples)
    yield with_utilization(bench.compete(contest), bench.device, flops, flops)


def sensitivity(bench: Bench) -> Iterator[Result]:
    """All layers, eight draws of noise and the quantized copy of each."""
    shape = bench.shape
    examples = bench.examples(shape.probe_samples, shape.probe_lengths)
    count = shape.layers
    settings = Robustness(
        samples=len(examples),
        batch_size=shape.probe_batch,
        rho=RHO,
        draws=DRAWS,
        quant_bits=BITS,
        quant_group_size=shape.group,
    )
    batches = plain.batches(examples, shape.probe_batch)

    def by_model(layers: Sequence[int], draw: plain.Draw) -> dict[int, list[float]]:
        plain.loss(bench.model, batches)  # f(theta), which the score is relative to
        return plain.sensitivity(
            bench.model,
            batches,
            layers,
            draws=DRAWS,
            rho=RHO,
            bits=BITS,
            group=shape.group,
            draw=draw,
        )

    def check() -> str:
        layers = [0, count // 2, count - 1]
        scores = score_layers(bench.model, examples, settings, layers=layers, seed=SEED)
        ours = [
            scores.loss + increase
            for layer in layers
            for increase in (
                *scores.layers[str(layer)].noise,
                scores.layers[str(layer)].quant,
            )
        ]
        expected = by_model(
            layers,
            lambda direction, name, weight: normal(
                weight.shape, key(SEED, "sensitivity", direction=direction), name, weight.device
            ).to(weight.dtype),
        )
        return losses(ours, [loss for layer in layers for loss in expected[layer]])

    contest = Contest(
        f"sensitivity, {count} layers x {DRAWS} draws and a quantized copy, "
        f"{len(examples)} samples",
        ours=lambda: score_layers(bench.model, examples, settings, layers=range(count), seed=SEED),
        plain=lambda: by_model(range(count), plain.fresh),
        limit=0.50,
        check=check,
        long=True,
    )
    whole = evaluation_flops(bench, examples)
    suffixes = sum(evaluation_flops(bench, examples, layer) for layer in range(count))
    yield with_utilization(
        bench.compete(contest),
        bench.device,
        whole + (DRAWS + 1) * suffixes,
        whole + (DRAWS + 1) * count * whole,
    )
