"""Model-FLOP utilization: the work that a result needs over what the device could do meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks.measure import Result
from benchmarks.models import Bench
from holdfast.engine.batches import Example

# Dense bfloat16 FLOP/s by the name that CUDA gives (the vendor's data sheets).
PEAKS = {
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
}


def evaluation_flops(bench: Bench, examples: Sequence[Example], first_layer: int = 0) -> float:
    """Return the FLOPs of one evaluation from decoder layer ``first_layer`` on.

    Two a weight and token: decoder layers for every token, the output layer for response tokens.
    Padding, attention scores and logits that nobody asked for count as no work.
    """
    layers = bench.model.model.layers[first_layer:]
    weights = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
    tokens = sum(len(example.input_ids) for example in examples)
    responses = sum(len(example.input_ids) - example.labels_from for example in examples)
    head = bench.shape.vocabulary * bench.shape.hidden
    return 2.0 * (weights * tokens + head * responses)


def with_utilization(result: Result, device: str, ours: float, plain: float) -> Result:
    """Add each side's utilization to the note, given the FLOPs that each needs."""
    if device != "cuda":
        return result
    peak = PEAKS.get(torch.cuda.get_device_name())
    if peak is None:
        shares = "open, this device's peak is not known"
    else:
        sides = (("ours", ours, result.ours), ("plain", plain, result.plain))
        shares = ", ".join(
            f"{side} {flops / seconds / peak:.0%}" for side, flops, seconds in sides if seconds
        )
    return replace(result, note=f"{result.note}; model-FLOP utilization: {shares}")
