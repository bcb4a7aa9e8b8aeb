"""tr H from a step's own losses, and what learning rate it allows.

Along v ~ N(0, I) the mean of (f(theta + beta v) + f(theta - beta v) - 2 f(theta)) / beta^2 is the
trace of the Hessian H of f smoothed at scale beta. On a quadratic loss with gradient g, a step of
size eta along the mean of q two-point estimates changes the expected loss by

    -eta |g|^2 + eta^2 / 2 * (|g|^2 tr H + (q + 1) g'Hg) / q,

so that, while g'Hg is small beside |g|^2 tr H / q, the best step is q / tr H and one beyond twice
of it raises the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from holdfast.arms.replay_log import Curvature, ReplayLog
from holdfast.settings.base import Strict
from holdfast.settings.stages import ZerothOrder

HIGH, LOW = 10.0, 1e-3  # times q / tr H


def curvature(
    loss: float, plus: Sequence[float], minus: Sequence[float], scales: Sequence[float]
) -> Curvature:
    """Estimate tr H from the losses at theta, theta + scale * v and theta - scale * v.

    The v are standard normal; ``scales`` holds one number a direction. A direction on the unit
    sphere is a normal one whose scale is beta over its length, up to that length's own spread.
    """
    bends = [
        (up + down - 2 * loss) / scale**2
        for up, down, scale in zip(plus, minus, scales, strict=True)
    ]
    error = stdev(bends) / math.sqrt(len(bends)) if len(bends) > 1 else None
    return Curvature(loss=loss, trace=fmean(bends), standard_error=error)


def step_size(settings: ZerothOrder, clip: float, dimension: int) -> float:
    """Return what multiplies the gradient in a step's expectation, at the peak learning rate."""
    size = settings.learning_rate * clip
    if settings.scale_by_dimension:
        size *= dimension
    return size / dimension if settings.direction == "sphere" else size


def rate_warnings(bent: Curvature, settings: ZerothOrder, clip: float, dimension: int) -> list[str]:
    """Say so when the learning rate is far from q / tr H; ``clip`` is the first step's factor."""
    if not bent.known:
        return []
    usable = settings.directions / bent.trace  # q / tr H
    size = step_size(settings, clip, dimension)
    factors = {"clip factor": clip, "scale of the estimate": size / settings.learning_rate / clip}
    times = "".join(f" (times the {name} {f:.3g})" for name, f in factors.items() if f != 1)
    ratio = size / usable
    told = f"learning_rate {settings.learning_rate:g}{times} is {ratio:.3g} times q / tr H ="
    told = f"{told} {settings.directions} / {bent.trace:.3g} = {usable:.3g}"
    if ratio > HIGH:
        return [
            f"{told}, beyond which (from twice of it) a zeroth-order step is expected to raise the"
            " loss: lower learning_rate or take more directions"
        ]
    if ratio < LOW:
        return [f"{told}, so the steps will hardly change the loss: raise learning_rate"]
    return []


class StepSize(Strict):
    """What a zeroth-order arm's log tells of its learning rate.

    ``size`` is what the first step multiplied the gradient with, in expectation and at the peak
    learning rate; ``directions`` are q, and ``trace`` and ``standard_error`` those of its
    ``Curvature``.
    """

    learning_rate: float
    size: float
    directions: int
    trace: float
    standard_error: float | None


def told_of_step(log: ReplayLog) -> StepSize:
    """Return the step size of a zeroth-order arm."""
    settings = log.settings
    return StepSize(
        learning_rate=settings.learning_rate,
        size=step_size(settings, log.steps[0].clip, log.dimension),
        directions=settings.directions,
        trace=log.curvature.trace,
        standard_error=log.curvature.standard_error,
    )
