"""The arm as it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from holdfast.settings.perturbations import Unperturbed

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def perturb(
    _model: PreTrainedModel, _settings: Unperturbed, _level: str, _noise_seed: int
) -> AbstractContextManager[None]:
    """Return a context in which nothing happens."""
    return nullcontext()
