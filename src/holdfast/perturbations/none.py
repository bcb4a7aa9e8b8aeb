"""The arm as it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from holdfast.settings.perturbations import Unperturbed


def perturb(
    _model: Any, _settings: Unperturbed, _level: str, _noise_seed: int
) -> AbstractContextManager[None]:
    """Return a context in which nothing happens."""
    return nullcontext()
