"""tr H from a step's losses, against a quadratic whose Hessian is known, and what it warns of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_llama
from holdfast.arms.curvature import (
    curvature,
    rate_warnings,
    step_size,
    told_of_step,
)
from holdfast.arms.replay_log import Curvature, replay_log
from holdfast.arms.schedule import sample_indices
from holdfast.arms.zeroth_order import PURPOSE, refine
from holdfast.engine.batches import make_batches
from holdfast.engine.loss import response_loss
from holdfast.numerics.stream import STREAM
from holdfast.settings.stages import ZerothOrder

EIGENVALUES = torch.linspace(0.5, 2.0, 40, dtype=torch.float64)
TRACE = float(EIGENVALUES.sum())


def quadratic(x: torch.Tensor) -> float:
    return float(3 + x.sum() + (EIGENVALUES * x * x).sum() / 2)


@pytest.mark.parametrize("sphere", [False, True])
def test_the_trace_of_a_quadratic_is_found(sphere: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(40, generator=generator, dtype=torch.float64)
    vectors = torch.randn(4000, 40, generator=generator, dtype=torch.float64)
    scales = [0.1 / float(v.norm()) if sphere else 0.1 for v in vectors]
    plus = [quadratic(start + s * v) for s, v in zip(scales, vectors, strict=True)]
    minus = [quadratic(start - s * v) for s, v in zip(scales, vectors, strict=True)]
    found = curvature(quadratic(start), plus, minus, scales)
    # The variance of v'Hv is 2 tr H^2.
    error = math.sqrt(2 * float((EIGENVALUES**2).sum()) / len(vectors))
    assert found.standard_error == pytest.approx(error, rel=0.1)
    assert found.trace == pytest.approx(TRACE, abs=4 * error)


@pytest.mark.parametrize(("times", "lowers"), [(1.0, True), (1.8, True), (2.2, False)])
def test_a_step_beyond_twice_the_bound_raises_a_quadratic(times: float, lowers: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    start, count = torch.randn(40, generator=generator, dtype=torch.float64), 4000
    gradient = 1 + EIGENVALUES * start
    change = []
    for _ in range(count):
        v = torch.randn(40, generator=generator, dtype=torch.float64)
        moved = start - times / TRACE * float(v @ gradient) * v
        change.append(quadratic(moved) - quadratic(start))
    assert (sum(change) < 0) == lowers


def settings(**changes: Any) -> ZerothOrder:
    return ZerothOrder(**{"learning_rate": 0.01, "directions": 4, "beta": 0.01} | changes)


@pytest.mark.parametrize(
    ("trace", "error", "said"),
    [
        (10000.0, 10.0, "learning_rate 0.01 is 25 times q / tr H = 4 / 1e+04 = 0.0004, beyond"),
        (3000.0, 10.0, ""),
        (1.0, 0.1, ""),
        (0.1, 0.01, "is 0.00025 times q / tr H = 4 / 0.1 = 40, so the steps will hardly"),
        (10000.0, 9000.0, ""),  # it may as well be zero
        (-10000.0, None, ""),
    ],
)
def test_a_rate_far_from_the_bound_is_warned_of(
    trace: float, error: float | None, said: str
) -> None:
    found = rate_warnings(
        Curvature(loss=2.0, trace=trace, standard_error=error), settings(), 1.0, 1000
    )
    assert [said in text for text in found] == ([True] if said else [])


def test_what_multiplies_the_gradient_counts() -> None:
    sphere = settings(direction="sphere")
    assert step_size(settings(), 0.5, 1000) == 0.005
    assert step_size(settings(scale_by_dimension=True), 1.0, 1000) == pytest.approx(10)
    assert step_size(sphere, 1.0, 1000) == pytest.approx(1e-5)
    both = sphere.model_copy(update={"scale_by_dimension": True})
    assert step_size(both, 1.0, 1000) == pytest.approx(0.01)
    (text,) = rate_warnings(
        Curvature(loss=2.0, trace=1e7, standard_error=None), settings(), 0.5, 1000
    )
    assert "(times the clip factor 0.5) is 1.25e+04 times" in text


def test_a_refinement_logs_the_curvature_of_its_first_samples(tmp_path: Path) -> None:
    examples, layers = tiny_llama.examples(20), [1]
    chosen = settings(steps=2, directions=6, beta=0.05)
    log = refine(
        tiny_llama.model(), examples, chosen, layers=layers, seed=7, journal=tmp_path / "journal"
    )
    rows = sample_indices(len(examples), 8, 0, 7, PURPOSE)
    batches = make_batches([examples[row] for row in rows], 8)
    loss = response_loss(tiny_llama.model(), batches)
    assert log["curvature"]["loss"] == pytest.approx(loss, rel=1e-6)
    first = log["steps"][0]
    bend = (first["loss_plus"] + first["loss_minus"] - 2 * loss) / 0.05**2
    assert log["curvature"]["trace"] == pytest.approx(bend, rel=1e-3)
    told = told_of_step(replay_log(log, STREAM))
    assert told.size == pytest.approx(0.01 * first["clip"])
    assert (told.directions, told.trace) == (6, log["curvature"]["trace"])
