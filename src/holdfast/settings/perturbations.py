"""Settings of the perturbations: what happens to an aligned model before it is tested.

A new kind is a class here, a member of ``Perturbation``, and a module
``holdfast.perturbations.<kind>`` with a function ``perturb``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from holdfast.settings.cells import Level
from holdfast.settings.data import DataSource, Rows
from holdfast.settings.own import OwnObject
from holdfast.settings.perturbation import PerturbationSettings
from holdfast.settings.quantization import Checkpoint, FakeQuant, Gptq
from holdfast.settings.stages import FirstOrder

Strengths = Annotated[
    list[Annotated[float, Field(gt=0)]], Field(min_length=1), AfterValidator(sorted)
]


class Unperturbed(PerturbationSettings):
    """The arm as it is."""

    place: ClassVar[int] = 0
    kind: Literal["none"]

    @property
    def unfit_for_sweeps(self) -> str:
        return "unperturbed ASR is always taken; leave this out"


class _Noise(PerturbationSettings):
    levels: Strengths = Field(description="strengths; they are tested weakest first")
    draws: int = Field(3, ge=1, description="independent noise seeds per level")

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        return [(format(level, "g"), draw) for level in self.levels for draw in range(self.draws)]


class WeightNoise(_Noise):
    """Gaussian noise of standard deviation ``unit x level`` on every parameter (section 5.1)."""

    copied_weights: ClassVar[Literal["none", "linear", "all"]] = "all"
    kind: Literal["weight_noise"]
    unit: float = Field(1e-3, gt=0, description="what one unit of `levels` means, in weight units")

    @property
    def validation_levels(self) -> Sequence[Level]:
        return [self.levels[len(self.levels) // 2]]

    @property
    def symbol(self) -> str:
        return "σ"

    @property
    def note(self) -> str:
        return f"standard deviation σ in units of {self.unit:g}, on every parameter"


class ActivationNoise(_Noise):
    """Gaussian noise on every decoder layer's output, relative to its own standard deviation."""

    kind: Literal["activation_noise"]
    scope: Literal["token", "tensor"] = Field(
        "token", description="what the standard deviation is taken over"
    )

    @property
    def symbol(self) -> str:
        return "α"

    @property
    def note(self) -> str:
        over = "each token's" if self.scope == "token" else "the whole batch's"
        return f"α times {over} standard deviation, on every decoder layer's output"


class FineTune(PerturbationSettings):
    """Fine-tuning of every parameter after alignment: by users, or by an attacker."""

    kind: Literal["finetune"]
    source: DataSource = Field(
        description="training pairs: benign task data, an identity shift, or harmful answers"
    )
    limit: int | None = Field(None, ge=1, description="pairs used, drawn by seed 0; null: all")
    levels: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1,
        description="optimizer steps after which the model is tested, ascending: one training",
    )
    learning_rate: float = Field(
        5e-5, gt=0, description="constant learning rate; LoX's attacks: 5e-5 and 2e-5"
    )
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="SGD or AdamW")
    batch_size: int = Field(8, gt=0, description="samples a forward pass")
    gradient_accumulation: int = Field(1, gt=0, description="forward passes a step")
    compute: Literal["float32", "bfloat16"] = Field(
        "bfloat16", description="type of the matrix products; the weights train in float32"
    )
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, same result"
    )

    @field_validator("levels")
    @classmethod
    def _ascending(cls, levels: list[int]) -> list[int]:
        if levels != sorted(set(levels)):
            raise ValueError(f"steps must ascend, and {levels} do not")
        return levels

    @property
    def copies_by(self) -> Literal["finetune"]:
        return "finetune"

    @property
    def pairs(self) -> Rows:
        return Rows(source=self.source, limit=self.limit)

    @property
    def training(self) -> FirstOrder:
        """The whole training, whose first steps are the lower levels."""
        return FirstOrder(
            steps=self.levels[-1],
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            scheduler="constant_with_warmup",
            warmup_ratio=0.0,
            batch_size=self.batch_size,
            gradient_accumulation=self.gradient_accumulation,
            compute=self.compute,
            gradient_checkpointing=self.gradient_checkpointing,
        )

    @property
    def symbol(self) -> str:
        return "steps"

    @property
    def note(self) -> str:
        rows = self.batch_size * self.gradient_accumulation
        return (
            f"fine-tuning of every parameter by {self.optimizer}, learning rate"
            f" {self.learning_rate:g}, {rows} samples a step"
            f"{f', {self.limit} samples' if self.limit else ''}; the level is the number of steps"
        )


class PythonPerturbation(OwnObject, PerturbationSettings):
    """Your own perturbation: `perturb(model, level, key)` of your class changes a live model.

    See `holdfast.perturbations.python` for what it is given and must put back.
    """

    method: ClassVar[str] = "perturb"
    copied_weights: ClassVar[Literal["none", "linear", "all"]] = "all"
    kind: Literal["python"]
    levels: list[float] = Field([], description="strengths, weakest first; none: tested once")
    draws: int = Field(1, ge=1, description="independent noise seeds per level")

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        levels = [format(level, "g") for level in self.levels] or [""]
        return [(level, draw) for level in levels for draw in range(self.draws)]

    @property
    def symbol(self) -> str:
        return "level" if self.levels else ""

    @property
    def note(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.object}({options})"


Perturbation = Annotated[
    Unperturbed
    | Gptq
    | Checkpoint
    | FakeQuant
    | FineTune
    | WeightNoise
    | ActivationNoise
    | PythonPerturbation,
    Field(discriminator="kind"),
]
