"""Losses and gradients around an arm, from which its robustness gap is estimated.

v is standard normal over all parameters and depends on seed, draw and parameter name alone, so that
all arms of one architecture meet the same draws at every rho. Each draw is taken both ways: the
mean of f(theta + rho v) and f(theta - rho v) estimates f_rho(theta) = E f(theta + rho v) without
the part that is odd in v, and their second difference is rho^2 v'Hv, of expectation rho^2 tr H.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import torch

from holdfast.arms.curvature import StepSize
from holdfast.engine.batches import Batch
from holdfast.engine.loss import response_loss
from holdfast.engine.parameters import put_noise, restored
from holdfast.errors import HoldfastError
from holdfast.files.journal import Journal
from holdfast.gap import gradient
from holdfast.numerics.stream import key
from holdfast.progress import track
from holdfast.settings.base import Strict
from holdfast.settings.gap import GapSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PURPOSE = "robustness_gap"


class Gradient(Strict):
    """|grad f(theta)|^2 as ``square``; as ``smoothed``, for every rho, an unbiased estimate of
    |grad f_rho(theta)|^2 and its standard error, None where there was one pair of copies."""

    square: float
    smoothed: list[tuple[float, float | None]]


class Around(Strict):
    """What there is around an arm.

    ``loss`` is f(theta), in nats a response token; ``plus`` and ``minus`` are f(theta + rho v) and
    f(theta - rho v), a list over draws for every rho. ``gradient`` is None unless it is measured.
    """

    rho: list[float]
    loss: float
    plus: list[list[float]]
    minus: list[list[float]]
    gradient: Gradient | None


class Gap(Around):
    """The content of gap.json, beside what it is of; ``step`` is of zeroth-order arms alone."""

    samples: int
    data_sha256: str
    step: StepSize | None


@torch.no_grad()
def measure(
    model: PreTrainedModel,
    batches: Sequence[Batch],
    settings: GapSettings,
    *,
    seed: int,
    journal: Journal,
) -> Around:
    """Return what there is around ``model``, which is left as it was, bit for bit.

    A killed job goes on from ``journal``. Memory beside the model: a copy of it and, for gradients,
    a float32 copy.

    Raises:
        HoldfastError: a loss or a gradient is no finite number, or a batch does not fit.
    """
    parts: list[tuple[str, float, int]] = [("losses", 0.0, draw) for draw in range(settings.draws)]
    if settings.gradient_copies:
        parts += [("gradient", rho, 0) for rho in (0.0, *settings.rho)]
    if "loss" not in journal:
        journal.append("loss", _finite(response_loss(model, batches), "loss"))
    parameters = dict(model.named_parameters())
    with restored(parameters) as kept:

        def at(rho: float, draw: int) -> None:
            put_noise(parameters, kept, rho, key(seed, PURPOSE, direction=draw))

        for kind, rho, draw in track(parts, "robustness gap"):
            name = f"{kind} {rho} {draw}"
            if name not in journal and kind == "losses":
                both: list[float] = []  # ways, for every rho
                for size in settings.rho:
                    for scale in (size, -size):
                        at(scale, draw)
                        both.append(_finite(response_loss(model, batches), f"loss at rho {size:g}"))
                journal.append(name, both)
            elif name not in journal:
                journal.append(name, _square(model, batches, rho, settings.gradient_copies, at))
    losses = [journal.read(f"losses 0.0 {draw}", list[float]) for draw in range(settings.draws)]
    sizes = range(len(settings.rho))
    gradients = None
    if settings.gradient_copies:
        squares = [
            journal.read(f"gradient {rho} 0", list[float | None]) for rho in (0.0, *settings.rho)
        ]
        exact, *smoothed = [(value, error) for value, error in squares if value is not None]
        gradients = Gradient(square=exact[0], smoothed=smoothed)
    return Around(
        rho=settings.rho,
        loss=journal.read("loss", float),
        plus=[[row[2 * size] for row in losses] for size in sizes],
        minus=[[row[2 * size + 1] for row in losses] for size in sizes],
        gradient=gradients,
    )


def _square(
    model: PreTrainedModel,
    batches: Sequence[Batch],
    rho: float,
    copies: int,
    at: Callable[[float, int], None],
) -> tuple[float, float | None]:
    """Return an unbiased estimate of |grad f_rho(theta)|^2 and its standard error.

    It is the inner product of the mean gradients of two disjoint halves of the copies, each copy
    with its mirror image in the same half: E <a, b> = <E a, E b>. The spread of <a, b_k> over the
    pairs k of the second half is the error that this half makes, and the first half, which is as
    large, makes as much. At rho = 0 the gradient is exact.
    """
    pairs = copies // 4 if rho else 1
    signs = (rho, -rho) if rho else (0.0,)
    mean = gradient.zeros(model)
    for draw in range(pairs):
        for scale in signs:
            at(scale, draw)
            gradient.add_gradient(model, batches, mean, 1 / (pairs * len(signs)))
    if not rho:
        return _finite(gradient.square(mean), "squared gradient"), None
    products = []
    for draw in range(pairs, 2 * pairs):
        inner = []
        for scale in signs:
            at(scale, draw)
            inner.append(gradient.along(model, batches, mean))
        products.append(_finite(fmean(inner), f"gradient at rho {rho:g}"))
    error = math.sqrt(2 / pairs) * stdev(products) if pairs > 1 else None
    return fmean(products), error


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise HoldfastError(f"the {what} is {value}: lower gap.rho, or check the arm's weights")
    return value
