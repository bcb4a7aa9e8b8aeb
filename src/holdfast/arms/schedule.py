"""Which samples and what learning rate a step gets: pure functions of the step, so runs resume."""

from __future__ import annotations

import hashlib
import math

import torch

from holdfast.settings.stages import Scheduler


def rate_factor(scheduler: Scheduler, step: int, steps: int, warmup_ratio: float) -> float:
    """Return the share of the peak learning rate at ``step`` (from 0), as transformers defines it.

    The warm-up starts at 0, so a first step with warm-up moves nothing; cosine ends at 0.
    """
    warmup = math.ceil(steps * warmup_ratio)
    if step < warmup:
        return step / warmup
    if scheduler == "constant_with_warmup":
        return 1.0
    progress = (step - warmup) / max(1, steps - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


def sample_indices(count: int, size: int, step: int, seed: int, purpose: str) -> list[int]:
    """Return the ``size`` of ``count`` samples that ``step`` (from 0) takes.

    Samples are shuffled anew each epoch and an epoch's rest is used up before the next one starts.
    """
    positions = range(step * size, (step + 1) * size)
    epochs = {position // count for position in positions}
    orders = {epoch: _order(count, seed, purpose, epoch) for epoch in epochs}
    return [orders[position // count][position % count] for position in positions]


def _order(count: int, seed: int, purpose: str, epoch: int) -> list[int]:
    digest = hashlib.blake2b(f"{seed} {purpose} {epoch}".encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order
