"""Ten targeted zeroth-order steps against a hundred first-order steps (the paper's Table 3)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Contest, Result
from benchmarks.models import SEED, Bench
from benchmarks.refinement import BATCH, RATE, holdfast_steps
from holdfast.arms.first_order import train
from holdfast.settings.stages import FirstOrder

ZO_STEPS, FO_STEPS = 10, 100


def training(bench: Bench) -> Iterator[Result]:
    """Both sides are Holdfast's. A few steps are timed and multiplied up to the paper's numbers."""
    steps, cuda = bench.shape.steps, bench.device == "cuda"
    # Float32 weights and gradients of 8 billion parameters are 60 GiB: no activations of more than
    # one sample beside them. The processor of a CPU run may have no fast bfloat16.
    settings = FirstOrder(
        steps=steps,
        learning_rate=RATE,
        batch_size=1,
        gradient_accumulation=BATCH,
        compute="bfloat16" if cuda else "float32",
        gradient_checkpointing=cuda,
    )

    def first_order() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(bench.model, bench.examples(64), settings, seed=SEED, scratch=Path(folder))

    time = bench.compete(
        Contest(
            f"{ZO_STEPS} targeted ZO steps against {FO_STEPS} FO steps: time "
            f"(multiplied up from {steps})",
            ours=lambda: holdfast_steps(bench, bench.shape.selected, steps=steps),
            plain=first_order,
            limit=0.10 if cuda else None,
            ours_scale=ZO_STEPS / steps,
            plain_scale=FO_STEPS / steps,
            note="the paper: 0.13",
        )
    )
    yield time
    yield Result(
        "targeted ZO against FO: peak memory",
        "B",
        time.peak_ours,
        time.peak_plain,
        0.30 if cuda else None,
        time.rounds,
        note="the paper: 0.32",
    )
