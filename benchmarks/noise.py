"""Noise added to every parameter, against PyTorch's generator and against moving the bytes."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.measure import Contest, Result
from benchmarks.models import SEED, Bench
from holdfast.numerics.noise import add_normal_
from holdfast.numerics.stream import key

SCALE = 1e-3


def noise(bench: Bench) -> Iterator[Result]:
    """Both sides work on a copy of the parameters, so that the model stays what it was."""
    parameters = bench.parameters
    copies = {name: tensor.clone() for name, tensor in parameters.items()}
    stream = key(SEED, "benchmark")

    def ours() -> None:
        for name, tensor in copies.items():
            add_normal_(tensor, SCALE, stream, name)

    def drawn() -> None:
        for tensor in copies.values():
            tensor.add_(torch.randn_like(tensor), alpha=SCALE)

    def copied() -> None:
        for name, tensor in copies.items():
            tensor.copy_(parameters[name])

    cuda = bench.device == "cuda"
    yield bench.compete(
        Contest("noise on all weights, against randn + add", ours, drawn, None if cuda else 1.0)
    )
    yield bench.compete(
        Contest(
            "noise on all weights, against a copy of the bytes", ours, copied, 1.5 if cuda else None
        )
    )
