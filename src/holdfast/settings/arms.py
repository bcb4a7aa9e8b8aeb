"""Entries of the catalogue `arms`: a stage's settings, the arm it starts from, and its layers."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from holdfast.settings.base import Frozen
from holdfast.settings.stages import (
    FirstOrder,
    Lox,
    RandomMove,
    Recast,
    SignFlip,
    SmoothedFirstOrder,
    ZerothOrder,
)
from holdfast.settings.sweeps import Sweep, checked_sweep
from holdfast.text import Name


class Original(Frozen):
    """The base model as it is."""

    stage: Literal["original"]
    label: str = Field("", description="name shown in tables and figures; default: the entry's")


class _Arm(Frozen):
    """What every arm but ``original`` has."""

    move_type: ClassVar[type[BaseModel]]
    parent: Name = Field(alias="from", description="arm that the stage starts from")
    label: str = Field("", description="name shown in tables and figures; default: the entry's")

    @property
    def move(self) -> Any:
        """The stage's own settings."""
        fields = self.move_type.model_fields
        return self.move_type(**{name: getattr(self, name) for name in fields})

    @property
    def other(self) -> str | None:
        """Arm besides the parent that making this one reads."""
        return None


class _Swept(_Arm):
    sweep: Sweep = Field({})

    @field_validator("sweep", mode="before")
    @classmethod
    def _none(cls, sweep: Any) -> Any:
        return {} if sweep is None else sweep

    @field_validator("sweep")
    @classmethod
    def _values_of_the_stage(cls, sweep: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return checked_sweep(sweep, cls.move_type)


class _Layers(Frozen):
    layers: Name = Field("all", description="entry of `selections` whose layers move, or `all`")


class FirstOrderArm(_Swept, FirstOrder):
    """First-order safety alignment of another arm (Algorithm 1, stage I)."""

    move_type = FirstOrder
    stage: Literal["first_order"]


class SmoothedFirstOrderArm(_Layers, _Swept, SmoothedFirstOrder):
    """First-order training of another arm through randomly perturbed copies."""

    move_type = SmoothedFirstOrder
    stage: Literal["smoothed_first_order"]


class ZerothOrderArm(_Layers, _Swept, ZerothOrder):
    """Zeroth-order refinement of another arm (Algorithm 1, stage III)."""

    move_type = ZerothOrder
    stage: Literal["zeroth_order"]


class LoxArm(_Swept, Lox):
    """Low-rank extrapolation of what alignment changed (LoX, arXiv:2506.15606)."""

    move_type = Lox
    stage: Literal["lox"]
    base: Name = Field(
        "original", description="arm before the alignment that `from` is the result of"
    )

    @property
    def other(self) -> str:
        """The arm before alignment."""
        return self.base


class RecastArm(_Arm, Recast):
    """Control: another arm, stored in another type and read back."""

    move_type = Recast
    stage: Literal["recast"]


class RandomMoveArm(_Arm, RandomMove):
    """Control: another arm, moved at random as far as `like` moved, in the same tensors."""

    move_type = RandomMove
    stage: Literal["random_move"]
    like: Name = Field(description="arm of the same `from` whose move gives length and tensors")

    @property
    def other(self) -> str:
        """The arm that is imitated."""
        return self.like


class SignFlipArm(_Arm, SignFlip):
    """Control: a zeroth-order arm's steps with their scalars negated."""

    move_type = SignFlip
    stage: Literal["sign_flip"]
    like: Name = Field(description="zeroth-order arm of the same `from` whose log is replayed")

    @property
    def other(self) -> str:
        """The arm whose log is replayed."""
        return self.like


TrainedArm = FirstOrderArm | SmoothedFirstOrderArm
MovedArm = LoxArm | RecastArm | RandomMoveArm | SignFlipArm
SweptArm = FirstOrderArm | SmoothedFirstOrderArm | ZerothOrderArm | LoxArm
Arm = Annotated[Original | TrainedArm | ZerothOrderArm | MovedArm, Field(discriminator="stage")]
