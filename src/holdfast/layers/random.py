"""Random scores: layers chosen by chance, the control that a score must beat."""

from __future__ import annotations

import torch

from holdfast.settings.selections import Random


def score_layers(count: int, settings: Random) -> dict[str, float]:
    """Return uniform scores in [0, 1) for ``count`` decoder layers, the same for the same seed."""
    generator = torch.Generator().manual_seed(settings.seed)
    scores = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    return {str(layer): score for layer, score in enumerate(scores)}
