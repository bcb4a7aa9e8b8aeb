"""From the settings of a perturbation to the context in which a live model is perturbed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError, nearest
from holdfast.settings.kinds import module_of
from holdfast.settings.perturbations import Perturbation

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def perturb(
    model: PreTrainedModel, settings: Perturbation, level: str, noise_seed: int
) -> AbstractContextManager[None]:
    """Return a context in which ``model`` is perturbed, and after which it is as before.

    The module of the kind's name has a function of this name and these arguments, unless every
    level has a copy of the weights on disk: such a copy needs nothing more.

    Args:
        model: a live model; of a perturbation that is ``stored``, the copy of ``level``.
        settings: the entry of ``perturbations``.
        level: one of the levels in ``settings.cells``.
        noise_seed: the draw; one seed gives the same noise directions at every level.

    Raises:
        HoldfastError: ``settings`` has no such level, or there is no such kind.
    """
    known = list(dict.fromkeys(name for name, _ in settings.cells))
    if level not in known:
        raise HoldfastError(
            f"perturbation {settings.kind} has no level '{level}'{nearest(level, known)}"
        )
    if settings.stored:
        return nullcontext()
    module = module_of("holdfast.perturbations", settings.kind)
    context: AbstractContextManager[None] = module.perturb(model, settings, level, noise_seed)
    return context
