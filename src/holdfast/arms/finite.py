"""What keeps an arm without finite weights from being stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import Diverged
from holdfast.settings.stages import FirstOrder, ZerothOrder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADVICE = ("learning_rate", "max_grad_norm", "weight_decay", "momentum")


def require_finite(model: PreTrainedModel, stage: str, settings: FirstOrder | ZerothOrder) -> None:
    """Raise Diverged when a stored weight is no finite number, though every loss was.

    The last step may have moved it, or rounding to the 16 bits of its type made it infinite.
    """
    for weight, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            given = ", ".join(f"{name} ({getattr(settings, name)})" for name in ADVICE)
            kind = str(parameter.dtype).removeprefix("torch.")
            raise Diverged(
                f"{stage} step {settings.steps - 1}, the last, leaves the weight {weight} no finite"
                f" number in {kind}: lower one of {given}"
            )
