"""From the settings of a perturbation to the context in which a live model is perturbed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from holdfast.errors import HoldfastError, nearest
from holdfast.numerics.rounding import Grid
from holdfast.perturbations.activation_noise import activation_noise
from holdfast.perturbations.fake_quant import fake_quant
from holdfast.perturbations.weight_noise import weight_noise
from holdfast.settings.perturbations import (
    ActivationNoise,
    FakeQuant,
    Gptq,
    Perturbation,
    WeightNoise,
)


def perturb(
    model: Any, settings: Perturbation, level: str, noise_seed: int
) -> AbstractContextManager[None]:
    """Return a context in which ``model`` is perturbed, and after which it is as before.

    Args:
        model: a live model; for ``gptq`` and ``checkpoint`` the quantized copy of ``level``, which
            needs nothing more.
        settings: the entry of ``perturbations``.
        level: one of the levels in ``settings.cells``.
        noise_seed: the draw; one seed gives the same noise directions at every level.

    Raises:
        HoldfastError: ``settings`` has no such level.
    """
    known = list(dict.fromkeys(name for name, _ in settings.cells))
    if level not in known:
        raise HoldfastError(
            f"perturbation {settings.kind} has no level '{level}'{nearest(level, known)}"
        )
    if isinstance(settings, WeightNoise):
        return weight_noise(model, settings.unit * float(level), noise_seed)
    if isinstance(settings, ActivationNoise):
        return activation_noise(model, float(level), settings.scope, noise_seed)
    if isinstance(settings, FakeQuant):
        grid = settings.levels[level]
        return fake_quant(
            model,
            Grid(grid.bits, grid.group_size),
            Grid(grid.activation_bits, grid.activation_group_size),
        )
    return nullcontext()


def gptq_grid(settings: Gptq, level: str) -> Grid:
    """Return the weight grid of a level of ``gptq``."""
    return Grid(settings.levels[level].bits, settings.levels[level].group_size)
