"""What keeps an arm without finite weights from being stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import Diverged
from holdfast.settings.stages import FirstOrder, ZerothOrder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADVICE = ("learning_rate", "max_grad_norm", "weight_decay", "momentum")


def require_finite(
    model: PreTrainedModel,
    stage: str,
    settings: FirstOrder | ZerothOrder,
    step: int | None = None,
) -> None:
    """Raise Diverged when a stored weight is no finite number after a step (None: the last one).

    Every loss may have been one: the step may have moved a weight that no example meets, or
    rounding to the 16 bits of its type made it infinite.
    """
    last = settings.steps - 1
    after = last if step is None else step
    for weight, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            given = ", ".join(f"{name} ({getattr(settings, name)})" for name in ADVICE)
            kind = str(parameter.dtype).removeprefix("torch.")
            raise Diverged(
                f"{stage} step {after}{', the last,' if after == last else ''} leaves the weight"
                f" {weight} no finite number in {kind}: lower one of {given}"
            )
