"""Logits that are no finite numbers: what overflows, and which type to try instead."""

from __future__ import annotations

from typing import Any

import torch

from holdfast.errors import HoldfastError

ADVICE = {
    torch.float16: "set `dtype: bfloat16` or `dtype: float32` for it, which hold larger numbers",
    torch.bfloat16: "set `dtype: float32` for it, or lower the perturbation's level",
}
OTHERWISE = "check its weights, or lower the perturbation's level"


def not_finite_logits(model: Any, work: str) -> HoldfastError:
    """Return the error that tells of it; ``work`` is what was being computed."""
    dtype: torch.dtype = model.dtype
    return HoldfastError(
        f"{work}: the logits of {type(model).__name__} are no finite numbers in"
        f" {str(dtype).removeprefix('torch.')}: {ADVICE.get(dtype, OTHERWISE)}"
    )
