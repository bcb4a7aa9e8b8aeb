"""The noise floor: how far a rate moves under moves that mean nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from holdfast.statistics.estimates import quantile


def noise_floor(deltas: Sequence[float]) -> float | None:
    """Return the size that one more meaningless change stays below with 95 % probability.

    ``deltas``: changes of control arms against the same reference, one an arm and training seed;
    their expected mean is zero, so k of them have k degrees of freedom, and the floor is Student's
    quantile times their root mean square (the predictive interval of a normal change). None
    without deltas. A mean over several seeds is held to the same floor, on the safe side.
    """
    if not deltas:
        return None
    return quantile(len(deltas)) * math.sqrt(float(np.mean(np.square(deltas))))
