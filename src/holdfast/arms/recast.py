"""Control: weights rounded to another type and read back, which is all that storing them does.

Published perplexities of refined models differ from their parent's by more than their moves explain
and by the same amount whatever was moved, as a change of type alone would do.
"""

from __future__ import annotations

from typing import Any

import torch

from holdfast.settings.stages import Recast


@torch.no_grad()
def recast(model: Any, settings: Recast) -> None:
    """Round every parameter to ``settings.dtype``, in place; its own type stays."""
    dtype = getattr(torch, settings.dtype)
    for parameter in model.parameters():
        parameter.copy_(parameter.to(dtype))
