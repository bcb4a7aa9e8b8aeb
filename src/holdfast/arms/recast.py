"""Control: weights rounded to another type and read back, which is all that storing them does.

Published perplexities of refined models differ from their parent's by more than their moves explain
and by the same amount whatever was moved, as a change of type alone would do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from holdfast.checkpoints.records import ArmRecord
from holdfast.settings.stages import Recast

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def make(_made: Path, _settings: Recast, **_: object) -> None:
    """Keep nothing: the arm's record says it all."""


def apply(model: PreTrainedModel, folder: Path, record: ArmRecord) -> None:
    """Round the parent's parameters; HoldfastError when the record is damaged."""
    recast(model, record.settings_of(Recast, folder))


@torch.no_grad()
def recast(model: PreTrainedModel, settings: Recast) -> None:
    """Round every parameter to ``settings.dtype``, in place; its own type stays."""
    dtype = getattr(torch, settings.dtype)
    for parameter in model.parameters():
        parameter.copy_(parameter.to(dtype))
