"""Measure rows on one device with one number of threads; the results go into a JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.generation import generation
from benchmarks.judging import judging
from benchmarks.measure import Result
from benchmarks.memory import memory
from benchmarks.models import SHAPES, Bench
from benchmarks.noise import noise
from benchmarks.refinement import full, targeted
from benchmarks.report import line
from benchmarks.sensitivity import evaluation, sensitivity
from benchmarks.training import training

GROUPS: dict[str, Callable[[Bench], Iterator[Result]]] = {
    "evaluation": evaluation,
    "sensitivity": sensitivity,
    "targeted": targeted,
    "full": full,
    "memory": memory,
    "noise": noise,
    "generation": generation,
    "judging": judging,
    "training": training,
}


def measure(bench: Bench, rows: Iterable[str]) -> list[Result]:
    """Measure groups of rows by name, printing each result as it comes."""
    results = []
    for row in rows:
        for result in GROUPS[row](bench):
            print(line(result), flush=True)
            results.append(result)
        if bench.device == "cuda":
            torch.cuda.empty_cache()
    return results


def main() -> None:
    """Run as ``python -m benchmarks.worker``; ``python -m benchmarks`` starts it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--rows", nargs="+", choices=GROUPS, required=True)
    parser.add_argument("--into", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bench = Bench(SHAPES[arguments.shape], arguments.device, arguments.rounds)
    results = measure(bench, arguments.rows)
    arguments.into.write_text(json.dumps([asdict(result) for result in results]))


if __name__ == "__main__":
    main()
