"""Settings of the perturbations: what happens to an aligned model before it is tested."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, field_validator, model_validator

from holdfast.settings.base import Frozen
from holdfast.settings.data import DataSource
from holdfast.settings.models import Revision
from holdfast.settings.stages import FirstOrder
from holdfast.text import Name, PathName, Repository

WeightGroup = Annotated[int, Field(ge=1)] | Literal["channel", "tensor"]
ActivationGroup = Annotated[int, Field(ge=1)] | Literal["token", "tensor"]
Bits = Annotated[int, Field(ge=2, le=8)]
GPTQMODEL_GROUPS = (16, 32, 64, 128, 256, 512, 1024)
T = TypeVar("T")


def _by_number(levels: dict[str, T]) -> dict[str, T]:
    """Sort levels by their names where those are numbers; other names keep their order."""
    try:
        return dict(sorted(levels.items(), key=lambda entry: float(entry[0])))
    except ValueError:
        return levels


Strengths = Annotated[
    list[Annotated[float, Field(gt=0)]], Field(min_length=1), AfterValidator(sorted)
]


def _group(size: int | str) -> str:
    return f"group of {size}" if isinstance(size, int) else size


def noise_seed(seed: int, draw: int) -> int:
    """Return the seed of a noise draw on an arm of training seed ``seed``.

    All arms, models and levels share it, so that comparisons between them are paired.
    """
    return 1000 * seed + draw


class _Perturbation(Frozen):
    stored: ClassVar[bool] = False  # whether every level has a copy of the weights on disk
    label: str = Field("", description="name shown in tables and figures; default: the entry's")

    def of(self, model: str, arm: str) -> Self | None:
        """Return what of it is tested on one arm of one model; None for nothing."""
        return self

    @property
    def symbol(self) -> str:
        """Greek letter before a level, where it has one."""
        return ""

    @property
    def note(self) -> str:
        """What the levels mean, for a table's footnote."""
        return ""


class Unperturbed(_Perturbation):
    """The arm as it is."""

    kind: Literal["none"]

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        return [("", 0)]


class GptqLevel(Frozen):
    """One weight grid of GPTQ."""

    bits: Bits = Field(4, description="bits per weight")
    group_size: WeightGroup = Field(
        128, description="weights that share a scale: a number, `channel` (a row) or `tensor`"
    )


class Gptq(_Perturbation):
    """W4A16: weight-only quantization by GPTQ."""

    stored: ClassVar[bool] = True
    kind: Literal["gptq"]
    backend: Literal["llm-compressor", "gptqmodel"] = Field(
        "llm-compressor",
        description="library that quantizes; `gptqmodel`, AutoGPTQ's successor, runs in its own"
        " environment: start snakemake with `--sdm conda`",
    )
    levels: Annotated[dict[Name, GptqLevel], AfterValidator(_by_number)] = Field(
        min_length=1, description="grids by name"
    )
    calibration_samples: int = Field(128, ge=1, description="texts that GPTQ sees")
    max_length: int = Field(2048, ge=8, description="longest calibration text, in tokens")

    @property
    def note(self) -> str:
        grids = [
            f"{name}: {one.bits} bits per {_group(one.group_size)}"
            for name, one in self.levels.items()
        ]
        return f"GPTQ by {self.backend}, weights only; {'; '.join(grids)}"

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        return [(level, 0) for level in self.levels]

    @model_validator(mode="after")
    def _sizes_that_the_backend_knows(self) -> Gptq:
        for name, level in self.levels.items():
            if self.backend == "gptqmodel" and level.group_size not in (
                "channel",
                *GPTQMODEL_GROUPS,
            ):
                raise ValueError(
                    f"level '{name}': `gptqmodel` cannot share a scale over {level.group_size};"
                    f" give `channel` or one of {', '.join(map(str, GPTQMODEL_GROUPS))}"
                )
        return self


class Variant(Frozen):
    """A ready-made quantized checkpoint of one arm of one model."""

    model: str = Field(description="entry of `models` that it was made from")
    arm: str = Field("original", description="entry of `arms` that it is a copy of")
    hub: Repository | None = Field(None, description="Hugging Face repository id; needs `revision`")
    revision: Revision | None = Field(
        None, description="commit of the hub repository, 40 hexadecimal digits"
    )
    path: PathName | None = Field(None, description="local Hugging Face folder (safetensors)")

    @model_validator(mode="after")
    def _one_source(self) -> Variant:
        if (self.hub is None) == (self.path is None):
            raise ValueError("give exactly one of hub, path")
        if bool(self.hub) != bool(self.revision):
            raise ValueError("`hub` and `revision`, the 40-digit commit to pin, go together")
        return self

    @property
    def source(self) -> str:
        """Where it comes from, in short."""
        if self.path:
            return Path(self.path).name
        return f"{self.hub}@{(self.revision or '')[:7]}"


class Checkpoint(_Perturbation):
    """Ready-made quantized checkpoints (GPTQ, AWQ or compressed-tensors) in an arm's place."""

    stored: ClassVar[bool] = True
    kind: Literal["checkpoint"]
    levels: Annotated[dict[Name, list[Variant]], AfterValidator(_by_number)] = Field(
        min_length=1,
        description="checkpoints by name, each for the arms and models that it exists for",
    )

    @model_validator(mode="after")
    def _one_an_arm(self) -> Checkpoint:
        for name, variants in self.levels.items():
            places = [(one.model, one.arm) for one in variants]
            for model, arm in places:
                if places.count((model, arm)) > 1:
                    raise ValueError(f"level '{name}' has two checkpoints of {model}, arm {arm}")
        return self

    @property
    def note(self) -> str:
        found = [
            f"{name}: {', '.join(f'{one.source} for {one.model}, {one.arm}' for one in variants)}"
            for name, variants in self.levels.items()
        ]
        return f"ready-made checkpoints, their weights decompressed; {'; '.join(found)}"

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        return [(level, 0) for level in self.levels]

    def of(self, model: str, arm: str) -> Self | None:
        """Return the levels that have a checkpoint of this arm, with it alone; None without any."""
        found = {
            name: [one for one in variants if (one.model, one.arm) == (model, arm)]
            for name, variants in self.levels.items()
        }
        levels = {name: variants for name, variants in found.items() if variants}
        return self.model_copy(update={"levels": levels}) if levels else None


class FakeQuantLevel(GptqLevel):
    """One pair of grids of W4A4."""

    activation_bits: Bits = Field(4, description="bits per activation")
    activation_group_size: ActivationGroup = Field(
        128, description="activations that share a scale: a number, `token` or `tensor`"
    )


class FakeQuant(_Perturbation):
    """W4A4: weights and activations of every decoder linear rounded at run time (RTN)."""

    kind: Literal["fake_quant"]
    levels: Annotated[dict[Name, FakeQuantLevel], AfterValidator(_by_number)] = Field(
        min_length=1, description="grids by name"
    )

    @property
    def note(self) -> str:
        grids = [
            f"{name}: {one.bits}-bit weights per {_group(one.group_size)},"
            f" {one.activation_bits}-bit activations per {_group(one.activation_group_size)}"
            for name, one in self.levels.items()
        ]
        return f"symmetric rounding to nearest at run time, no rotation; {'; '.join(grids)}"

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        return [(level, 0) for level in self.levels]


class _Noise(_Perturbation):
    levels: Strengths = Field(description="strengths; they are tested weakest first")
    draws: int = Field(3, ge=1, description="independent noise seeds per level")

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        return [(format(level, "g"), draw) for level in self.levels for draw in range(self.draws)]


class WeightNoise(_Noise):
    """Gaussian noise of standard deviation ``unit x level`` on every parameter (section 5.1)."""

    kind: Literal["weight_noise"]
    unit: float = Field(1e-3, gt=0, description="what one unit of `levels` means, in weight units")

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


class FineTune(_Perturbation):
    """Fine-tuning of every parameter after alignment: by users, or by an attacker."""

    stored: ClassVar[bool] = True
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

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test."""
        return [(str(level), 0) for level in self.levels]


Perturbation = Annotated[
    Unperturbed | Gptq | Checkpoint | FakeQuant | FineTune | WeightNoise | ActivationNoise,
    Field(discriminator="kind"),
]
