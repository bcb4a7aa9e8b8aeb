"""Entries of the catalogue `arms`: a stage's settings, the arm it starts from, and its layers.

An arm answers for its stage: what it makes and reads, and whether the names in it make sense.
Nobody else asks which stage it is. A new stage is a class here, in the union ``Arm``, and a module
``holdfast.arms.<stage>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Union, get_args

from pydantic import BaseModel, Field, TypeAdapter, field_validator

from holdfast.errors import HoldfastError
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

Makes = Literal["base", "checkpoint", "replay_log", "move"]
STEP_BYTES, DIRECTION_BYTES = 500, 50  # of a replay log


class _Arm(Frozen):
    """What every arm answers; the answers here are those of most."""

    makes: ClassVar[Makes]
    """What its job stores: nothing beside the ``base`` model, a trained ``checkpoint``, the
    ``replay_log`` of a refinement, or a ``move``: a line of JSON or a few factors."""
    work: ClassVar[str] = ""
    """What making one is called beside the arm's name, where it takes much memory."""
    has_cost: ClassVar[bool] = True
    """Whether making one costs anything."""
    has_history: ClassVar[bool] = False
    """Whether a loss is told of every step."""

    @property
    def other(self) -> str | None:
        """Arm besides the parent that making this one reads."""
        return None

    @property
    def loaded_with(self) -> str | None:
        """Arm besides the parent that loading this one reads as well."""
        return None

    @property
    def factor_rank(self) -> int:
        """Rank of the factors, shared with others, of what the parent is away from ``other``."""
        return 0

    @property
    def imitates(self) -> str | None:
        """Arm that this one is a control of."""
        return None

    @property
    def selection(self) -> str | None:
        """Entry of `selections` whose layers move; None: all layers."""
        return None

    @property
    def swept(self) -> dict[str, list[Any]]:
        """Values to try, by setting."""
        return {}

    @property
    def named(self) -> dict[str, str]:
        """Arms that this one names, by setting."""
        return {}

    def stored_bytes(self, _weights: int) -> int:
        """Bytes that it stores beside a model of ``weights`` bytes; 0: hardly any."""
        return 0

    def check(self, _path: str, _arms: Mapping[str, Arm]) -> None:
        """Raise HoldfastError when ``arms``, which hold all that it names, do not suit it."""


class Original(_Arm):
    """The base model as it is."""

    makes: ClassVar[Makes] = "base"
    has_cost = False
    stage: Literal["original"]
    label: str = Field("", description="name shown in tables and figures; default: the entry's")

    @property
    def parent(self) -> None:
        """It starts from no other arm."""
        return

    @property
    def move(self) -> Any:
        """There is no stage that could have settings."""
        return None


class _Made(_Arm):
    """What every arm but ``original`` has."""

    makes: ClassVar[Makes] = "move"
    move_type: ClassVar[type[BaseModel]]
    parent: Name = Field(alias="from", description="arm that the stage starts from")
    label: str = Field("", description="name shown in tables and figures; default: the entry's")

    @property
    def move(self) -> Any:
        """The stage's own settings."""
        fields = self.move_type.model_fields
        return self.move_type(**{name: getattr(self, name) for name in fields})

    @property
    def named(self) -> dict[str, str]:
        return {"from": self.parent}


class _Swept(_Made):
    sweep: Sweep = Field({})

    @field_validator("sweep", mode="before")
    @classmethod
    def _none(cls, sweep: Any) -> Any:
        return {} if sweep is None else sweep

    @field_validator("sweep")
    @classmethod
    def _values_of_the_stage(cls, sweep: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return checked_sweep(sweep, cls.move_type)

    @property
    def swept(self) -> dict[str, list[Any]]:
        return self.sweep


class _Layers(_Arm):
    layers: Name = Field("all", description="entry of `selections` whose layers move, or `all`")

    @property
    def selection(self) -> str | None:
        return None if self.layers == "all" else self.layers


class _Trained(_Arm):
    makes: ClassVar[Makes] = "checkpoint"
    work = "first-order arm"
    has_history = True

    def stored_bytes(self, weights: int) -> int:
        return weights


class _Imitating(_Made):
    """A control that starts where the arm ``like`` starts."""

    like: Name

    @property
    def other(self) -> str:
        return self.like

    @property
    def imitates(self) -> str:
        return self.like

    @property
    def named(self) -> dict[str, str]:
        return {**super().named, "like": self.like}

    def check(self, path: str, arms: Mapping[str, Arm]) -> None:
        like = arms[self.like]
        if like.parent != self.parent:
            raise HoldfastError(
                f"{path}.like: '{self.like}' does not come from '{self.parent}'; a control starts"
                " where the arm that it imitates starts"
            )
        if like.imitates:
            raise HoldfastError(f"{path}.like: '{self.like}' is a control itself; name its `like`")


class FirstOrderArm(_Trained, _Swept, FirstOrder):
    """First-order safety alignment of another arm (Algorithm 1, stage I)."""

    move_type = FirstOrder
    stage: Literal["first_order"]


class SmoothedFirstOrderArm(_Trained, _Layers, _Swept, SmoothedFirstOrder):
    """First-order training of another arm through randomly perturbed copies."""

    move_type = SmoothedFirstOrder
    stage: Literal["smoothed_first_order"]


class ZerothOrderArm(_Layers, _Swept, ZerothOrder):
    """Zeroth-order refinement of another arm (Algorithm 1, stage III)."""

    makes: ClassVar[Makes] = "replay_log"
    work = "zeroth-order arm"
    move_type = ZerothOrder
    stage: Literal["zeroth_order"]

    def stored_bytes(self, _weights: int) -> int:
        return self.steps * (STEP_BYTES + DIRECTION_BYTES * self.directions)


class LoxArm(_Swept, Lox):
    """Low-rank extrapolation of what alignment changed (LoX, arXiv:2506.15606)."""

    move_type = Lox
    stage: Literal["lox"]
    base: Name = Field(
        "original", description="arm before the alignment that `from` is the result of"
    )

    @property
    def other(self) -> str:
        return self.base

    @property
    def loaded_with(self) -> str | None:
        return self.base if self.loads_other else None

    @property
    def factor_rank(self) -> int:
        return self.rank

    @property
    def named(self) -> dict[str, str]:
        return {**super().named, "base": self.base}

    def check(self, path: str, arms: Mapping[str, Arm]) -> None:
        before: list[str] = []
        ancestor = arms[self.parent].parent
        while ancestor is not None and ancestor not in (self.parent, *before):
            before.append(ancestor)
            ancestor = arms[ancestor].parent
        if self.base not in before:
            raise HoldfastError(
                f"{path}.base: '{self.base}' is not among the arms that '{self.parent}' was made"
                f" from ({', '.join(before) or 'none'}); name the one before the alignment"
            )


class RecastArm(_Made, Recast):
    """Control: another arm, stored in another type and read back."""

    move_type = Recast
    stage: Literal["recast"]


class RandomMoveArm(_Imitating, RandomMove):
    """Control: another arm, moved at random as far as `like` moved, in the same tensors."""

    move_type = RandomMove
    stage: Literal["random_move"]
    like: Name = Field(description="arm of the same `from` whose move gives length and tensors")


class SignFlipArm(_Imitating, SignFlip):
    """Control: a zeroth-order arm's steps with their scalars negated."""

    move_type = SignFlip
    stage: Literal["sign_flip"]
    like: Name = Field(description="zeroth-order arm of the same `from` whose log is replayed")

    def check(self, path: str, arms: Mapping[str, Arm]) -> None:
        if arms[self.like].makes != "replay_log":
            raise HoldfastError(f"{path}.like: '{self.like}' is no zeroth-order arm; name one")
        super().check(path, arms)


Arm = Annotated[
    Original
    | FirstOrderArm
    | SmoothedFirstOrderArm
    | ZerothOrderArm
    | LoxArm
    | RecastArm
    | RandomMoveArm
    | SignFlipArm,
    Field(discriminator="stage"),
]
STAGES: dict[str, type[_Made]] = {
    get_args(arm.model_fields["stage"].annotation)[0]: arm
    for arm in get_args(get_args(Arm)[0])
    if issubclass(arm, _Made)
}
"""The arms that a stage makes, by its name."""


def read_move(makes: Makes, written: Any) -> Any:
    """Return a stage's own settings, as ``move`` holds them, from the JSON of one that ``makes``
    this; which of these stages it is shows in the settings that it has."""
    kinds = tuple(arm.move_type for arm in STAGES.values() if arm.makes == makes)
    either: Any = Union[kinds]  # noqa: UP007
    return TypeAdapter(either).validate_python(written)
