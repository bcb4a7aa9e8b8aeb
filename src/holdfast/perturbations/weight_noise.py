"""Gaussian noise on every parameter (section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from holdfast.engine.parameters import put_noise, restored
from holdfast.numerics.stream import key
from holdfast.settings.perturbations import WeightNoise

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PURPOSE = "weight_noise"


def perturb(
    model: PreTrainedModel, settings: WeightNoise, level: str, noise_seed: int
) -> AbstractContextManager[None]:
    """Return the context in which ``model`` has the noise of a level of ``settings``."""
    return weight_noise(model, settings.unit * float(level), noise_seed)


@contextmanager
def weight_noise(model: PreTrainedModel, sigma: float, seed: int) -> Iterator[None]:
    """Add noise of standard deviation ``sigma`` (weight units) to all parameters of ``model``.

    The sum is formed in float32 and cast once; tied parameters move once. One seed gives the same
    directions at every ``sigma``. On exit the weights are put back bit for bit, from a copy that
    lives beside them.
    """
    parameters = dict(model.named_parameters())
    with restored(parameters) as kept:
        put_noise(parameters, kept, sigma, key(seed, PURPOSE))
        yield
