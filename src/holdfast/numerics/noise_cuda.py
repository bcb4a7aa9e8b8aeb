"""The stream of :mod:`holdfast.numerics.noise` as one fused CUDA kernel (Triton).

Every weight is read once and written once. The numbers are those of the PyTorch path to float32
rounding.
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-def, untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from holdfast.numerics.stream import (
    HALF,
    HALF_UNIT,
    MULTIPLY_IN,
    MULTIPLY_OUT,
    SHIFT,
    UNIT,
    WORD_TO_ANGLE,
)

_BLOCK = 1024


def visit(
    flat: Tensor, words: list[int], start: int, scale: float, source: Tensor | None = None
) -> None:
    """Set ``flat`` to ``source`` (nothing, if None) plus ``scale`` times noise.

    ``words`` are the round keys, ``start`` is the index of the first element in its stream.
    """
    if not flat.numel():
        return
    tile = start // (2 * HALF)
    pairs = (-(-(start + flat.numel()) // (2 * HALF)) - tile) * HALF
    keys = torch.tensor(words, dtype=torch.int32, device=flat.device)
    with torch.cuda.device_of(flat):
        _kernel[(pairs // _BLOCK,)](
            flat, flat if source is None else source, keys, start, flat.numel(), tile * HALF, scale,
            source is not None, len(words), HALF, _BLOCK, MULTIPLY_IN, MULTIPLY_OUT, SHIFT, UNIT,
            HALF_UNIT, WORD_TO_ANGLE, enable_fp_fusion=False,
        )  # fmt: skip


@triton.jit(do_not_specialize=["start", "numel", "first"])
def _kernel(
    data,
    source,
    keys,
    start,
    numel,
    first,
    scale,
    add: tl.constexpr,
    rounds: tl.constexpr,
    half: tl.constexpr,
    block: tl.constexpr,
    multiply_in: tl.constexpr,
    multiply_out: tl.constexpr,
    shift: tl.constexpr,
    unit: tl.constexpr,
    half_unit: tl.constexpr,
    word_to_angle: tl.constexpr,
):
    pair = first + tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    left = (pair >> 32).to(tl.int32)
    right = pair.to(tl.int32)
    for r in tl.static_range(rounds):
        mixed = tl.load(keys + r) + right * multiply_in
        mixed = mixed ^ (mixed >> shift)
        total = left + mixed * multiply_out
        left = right
        right = total
    radius = tl.sqrt_rn(-2.0 * tl.log(tl.abs(right.to(tl.float32)) * unit + half_unit))
    angle = left.to(tl.float32) * word_to_angle
    element = pair + pair // half * half - start
    _put(data, source, element, numel, scale, radius * tl.cos(angle), add)
    _put(data, source, element + half, numel, scale, radius * tl.sin(angle), add)


@triton.jit
def _put(data, source, element, numel, scale, noise, add: tl.constexpr):
    inside = (element >= 0) & (element < numel)
    if add:
        noise = tl.load(source + element, mask=inside, other=0).to(tl.float32) + scale * noise
    rounded = noise.to(data.dtype.element_ty)  # to nearest, ties to even
    tl.store(data + element, rounded, mask=inside)
