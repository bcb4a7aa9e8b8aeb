"""The log of a zeroth-order refinement, which its weights are made from: strict, since any other
log would quietly make other weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from holdfast.checkpoints.records import checked
from holdfast.errors import HoldfastError
from holdfast.settings.base import Strict
from holdfast.settings.stages import ZerothOrder

REPLAY_LOG = "replay.json"
LARGEST = 3.4e38  # of float32, which the arithmetic is done in
Finite = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(ge=0, le=LARGEST)]


class Step(Strict):
    """What replays one step, then what it did.

    ``coefficients[j]`` multiplies the standard normal tensors of direction j; their sum times
    ``clip`` is the estimated gradient, to which weight decay and momentum are applied as in
    torch.optim.SGD (decay coupled, after clipping; no dampening). Moves are of the float32 copy.
    """

    step: int
    learning_rate: Positive
    coefficients: list[Finite]
    clip: Annotated[float, Field(ge=0, le=1)]
    loss_plus: float
    loss_minus: float
    projected_gradients: list[float]
    gradient_norm: float
    move_norm: float
    move_rms: float
    changed_share: float


class Curvature(Strict):
    """tr H over the parameters that move, on the first step's samples, where they start.

    ``loss`` is f there; ``standard_error`` is over the step's directions, None where there was one.
    """

    loss: float
    trace: float
    standard_error: float | None

    @property
    def known(self) -> bool:
        """Whether the trace is above zero beyond chance."""
        return self.trace > 2 * (self.standard_error or 0.0)


class ReplayLog(Strict):
    """A whole log: what was refined, with which settings, and every step."""

    arm: Literal["zeroth_order", "sign_flip"]
    layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None
    parent: str
    noise_stream: int
    seed: Annotated[int, Field(ge=0)]
    settings: ZerothOrder
    examples: str
    dimension: Annotated[int, Field(ge=1)]
    curvature: Curvature
    steps: list[Step]
    warnings: list[str]

    @model_validator(mode="before")
    @classmethod
    def _settings_are_all_there(cls, log: object) -> object:
        settings = log.get("settings") if isinstance(log, Mapping) else None
        given = set(settings) if isinstance(settings, Mapping) else set(ZerothOrder.model_fields)
        if missing := set(ZerothOrder.model_fields) - given:
            raise ValueError(f"settings lack {min(missing)}")
        return log

    @model_validator(mode="after")
    def _steps_are_all_there(self) -> ReplayLog:
        count, numbers = len(self.steps), [entry.step for entry in self.steps]
        # A list of as many numbers as a damaged setting says might not fit into memory.
        if count != self.settings.steps or numbers != list(range(count)):
            raise ValueError(f"steps are not 0 to {self.settings.steps - 1}")
        if any(len(entry.coefficients) != self.settings.directions for entry in self.steps):
            raise ValueError(f"a step has not {self.settings.directions} coefficients")
        if self.settings.weight_decay > LARGEST:
            raise ValueError(f"weight_decay is {self.settings.weight_decay:g}")
        return self


def replay_log(written: object, stream: int) -> ReplayLog:
    """Return a log as it was read, checked.

    Raises:
        HoldfastError: it is damaged, or its noise is another release's than ``stream``.
    """
    drawn = written.get("noise_stream") if isinstance(written, Mapping) else None
    if isinstance(drawn, int) and drawn != stream:
        raise HoldfastError(
            f"this zeroth-order log was written with noise stream {drawn}, and this release"
            f" draws stream {stream}: run the refinement again"
        )
    return checked(ReplayLog, written, "a zeroth-order log")
