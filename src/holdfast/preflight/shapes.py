"""The models' shapes, as far as they can be told before the run."""

from __future__ import annotations

from holdfast.config import HoldfastError, Settings
from holdfast.engine.shape import Shape, shape_of
from holdfast.plan.shapes import shape_of_model
from holdfast.preflight import sources
from holdfast.preflight.repositories import small_file


def shapes(settings: Settings) -> dict[str, Shape]:
    """Return the shape of each checkpoint by its path in the config.

    One that cannot be looked at is left out: the checks of the hub and of checkpoints say why.
    """
    base = next((model for model in settings.models.values() if model.pocket), None)
    by_path = {}
    for path, source in sources.checkpoints(settings).items():
        try:
            if source.where is None:
                shape = shape_of_model(source.model, base)
            else:
                shape = shape_of(small_file(source.where, "config.json"), source.model.dtype)
        except (HoldfastError, KeyError, TypeError):
            continue
        if shape:
            by_path[path] = shape
    return by_path
