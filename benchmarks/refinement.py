"""A zeroth-order step against the plain in-place two-point step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks import plain
from benchmarks.agreement import losses
from benchmarks.measure import Contest, Result
from benchmarks.models import SEED, Bench
from holdfast.arms.zeroth_order import PURPOSE, refine
from holdfast.engine.parameters import layer_parameters
from holdfast.numerics.noise import normal
from holdfast.numerics.stream import key
from holdfast.settings.stages import ZerothOrder

BATCH = 8
BETA = 1e-3
RATE = 1e-6  # so small that hundreds of timed steps leave the model sane
CHECKED = {"steps": 2, "directions": 2}  # what the comparison of losses runs


def targeted(bench: Bench) -> Iterator[Result]:
    """The paper's four layers; the plain step moves every parameter."""
    layers = bench.shape.selected
    name = f"ZO step, layers {', '.join(map(str, layers))} of {bench.shape.layers}"
    yield bench.compete(_contest(bench, f"{name}, q = 1", layers, 1, 0.60))
    yield bench.compete(_contest(bench, f"{name}, q = 8", layers, 8, 0.50))


def full(bench: Bench) -> Iterator[Result]:
    """Every parameter moves on both sides."""
    yield bench.compete(_contest(bench, "ZO step, all parameters, q = 1", None, 1, 0.85))


def holdfast_steps(bench: Bench, layers: Sequence[int] | None, **changed: Any) -> dict[str, Any]:
    """Run a whole refinement, its set-up included; return its log."""
    settings = ZerothOrder(
        learning_rate=RATE,
        beta=BETA,
        batch_size=BATCH,
        forward_batch_size=bench.shape.forward_batch,
        **changed,
    )
    # One epoch is one batch: a step sees the examples that every other step sees.
    examples = bench.examples(BATCH)
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        return refine(bench.model, examples, settings, layers=layers, seed=SEED, journal=journal)


def _plain_steps(
    bench: Bench,
    parameters: dict[str, Tensor],
    *,
    steps: int,
    directions: int,
    weight_decay: float,
    keyed: bool = False,
) -> list[float]:
    """Return f(+) and f(-) of every step; ``keyed`` takes Holdfast's noise."""
    found: list[float] = []
    for step in range(steps):

        def draw(direction: int, name: str, like: Tensor, step: int = step) -> Tensor:
            stream = key(SEED, PURPOSE, step=step, direction=direction)
            return normal(like.shape, stream, name, like.device).to(like.dtype)

        found += plain.zo_step(
            bench.model,
            parameters,
            plain.batches(bench.examples(BATCH), BATCH),
            directions=range(directions),
            beta=BETA,
            rate=RATE,
            weight_decay=weight_decay,
            draw=draw if keyed else plain.fresh,
        )
    return found


def _contest(
    bench: Bench, name: str, layers: Sequence[int] | None, directions: int, limit: float
) -> Contest:
    # A step of eight directions takes as long as eight steps of one.
    steps = bench.shape.steps if directions == 1 else 1
    return Contest(
        name,
        ours=lambda: holdfast_steps(bench, layers, steps=steps, directions=directions),
        plain=lambda: _plain_steps(
            bench, bench.parameters, steps=steps, directions=directions, weight_decay=1e-4
        ),
        limit=limit,
        check=lambda: _check(bench, layers) if directions == 1 else "as with q = 1",
        ours_scale=1 / steps,
        plain_scale=1 / steps,
        long=directions > 1,
    )


def _check(bench: Bench, layers: Sequence[int] | None) -> str:
    """Compare the losses of two steps; the second one's tell whether the updates agree."""
    chosen = layer_parameters(bench.model, layers)
    parameters = {name: parameter.data for name, parameter in chosen.items()}
    kept = {name: tensor.to("cpu", copy=True) for name, tensor in parameters.items()}
    log = holdfast_steps(
        bench,
        layers,
        max_grad_norm=None,
        weight_decay=0.0,
        scheduler="constant_with_warmup",
        **CHECKED,
    )
    ours = [entry[side] for entry in log["steps"] for side in ("loss_plus", "loss_minus")]
    _put_back(parameters, kept)
    expected = _plain_steps(bench, parameters, weight_decay=0.0, keyed=True, **CHECKED)
    _put_back(parameters, kept)
    return losses(ours, expected)


def _put_back(parameters: dict[str, Tensor], kept: dict[str, Tensor]) -> None:
    for name, tensor in parameters.items():
        tensor.copy_(kept[name])
