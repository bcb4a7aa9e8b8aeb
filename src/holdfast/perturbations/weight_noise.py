"""Gaussian noise on every parameter (section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from holdfast.engine.parameters import put_noise, restored
from holdfast.numerics.stream import key

PURPOSE = "weight_noise"


@contextmanager
def weight_noise(model: Any, sigma: float, seed: int) -> Iterator[None]:
    """Add noise of standard deviation ``sigma`` (weight units) to all parameters of ``model``.

    The sum is formed in float32 and cast once; tied parameters move once. One seed gives the same
    directions at every ``sigma``. On exit the weights are put back bit for bit, from a copy that
    lives beside them.
    """
    parameters = dict(model.named_parameters())
    with restored(parameters) as kept:
        put_noise(parameters, kept, sigma, key(seed, PURPOSE))
        yield
