"""What a stage computes, in forward passes of one sample: the unit of equal-compute comparisons.

A backward pass counts as two forward passes (one product for the inputs' gradient, one for the
weights'), and a third where activations are recomputed. A pass that starts at a layer counts by its
share of the layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.settings.stages import FirstOrder, ZerothOrder


def first_order_passes(settings: FirstOrder) -> float:
    """Return the forward passes that training takes."""
    samples = settings.steps * settings.batch_size * settings.gradient_accumulation
    return float(samples * settings.passes)


def zeroth_order_passes(
    settings: ZerothOrder, layers: Sequence[int] | None, layer_count: int
) -> float:
    """Return the forward passes that refinement of ``layers`` (None: all) takes.

    What lies below the lowest of them runs once a step, the rest twice a direction and, in the
    first step, once where it starts.
    """
    samples = settings.steps * settings.batch_size
    below = min(layers) / layer_count if layers else 0.0
    return samples * (below + 2 * settings.directions * (1 - below)) + settings.batch_size * (
        1 - below
    )
