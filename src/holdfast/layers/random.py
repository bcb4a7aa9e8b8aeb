"""Random scores: layers chosen by chance, the control that a score must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from holdfast.settings.selections import Random

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def score_layers(
    _model: PreTrainedModel,
    _examples: object,
    settings: Random,
    *,
    layers: Sequence[int],
    **_: object,
) -> dict[str, float]:
    """Return uniform scores in [0, 1) of all decoder ``layers``, the same for the same seed."""
    generator = torch.Generator().manual_seed(settings.seed)
    scores = torch.rand(len(layers), generator=generator, dtype=torch.float64).tolist()
    return {str(layer): score for layer, score in enumerate(scores)}
