"""Peak memory of a zeroth-order step against a forward evaluation and a float32 master copy.

On a CPU each of the two runs alone in a fresh process, which this module is the main program of.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

import torch

from benchmarks.measure import Result, cost
from benchmarks.models import SHAPES, Bench
from benchmarks.refinement import BATCH, holdfast_steps
from holdfast.engine.batches import make_batches
from holdfast.engine.loss import response_loss
from holdfast.engine.parameters import layer_parameters

SIDES = ("step", "evaluation")
LIMIT = 1.15


def memory(bench: Bench) -> Iterator[Result]:
    """The step is a targeted one with q = 1; both sides have the model in memory."""
    selected = layer_parameters(bench.model, bench.shape.selected).values()
    master = 4 * sum(parameter.numel() for parameter in selected)
    peaks = [
        _peak(bench, side) if bench.device == "cuda" else _peak_elsewhere(bench, side)
        for side in SIDES
    ]
    yield Result(
        "peak memory of a ZO step, against an evaluation and a float32 copy of its layers",
        "B",
        peaks[0],
        peaks[1] + master,
        LIMIT,
        rounds=1,
        note=f"the copy is {master / 2**20:.0f} MiB",
    )


def _peak(bench: Bench, side: str) -> int:
    batches = make_batches(bench.examples(BATCH), BATCH)
    response_loss(bench.model, batches)  # what a first pass loads is neither side's

    def work() -> object:
        if side == "step":
            return holdfast_steps(bench, bench.shape.selected, steps=1)
        return response_loss(bench.model, batches)

    return cost(work, bench.device, bench.model_bytes).peak


def _peak_elsewhere(bench: Bench, side: str) -> int:
    name = next(name for name, shape in SHAPES.items() if shape is bench.shape)
    threads = str(torch.get_num_threads())
    command = [sys.executable, "-m", "benchmarks.memory", name, side, threads]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)  # noqa: S603


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(_peak(Bench(SHAPES[arguments.shape], "cpu", rounds=1), arguments.side))
