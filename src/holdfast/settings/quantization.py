"""Settings of the perturbations that quantize: GPTQ, ready-made checkpoints, rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from holdfast.settings.base import Frozen
from holdfast.settings.perturbation import Calibration, PerturbationSettings, Variant
from holdfast.text import Name

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


def _group(size: int | str) -> str:
    return f"group of {size}" if isinstance(size, int) else size


class GptqLevel(Frozen):
    """One weight grid of GPTQ."""

    bits: Bits = Field(4, description="bits per weight")
    group_size: WeightGroup = Field(
        128, description="weights that share a scale: a number, `channel` (a row) or `tensor`"
    )


class Gptq(PerturbationSettings):
    """W4A16: weight-only quantization by GPTQ."""

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
    def copies_by(self) -> Literal["llm-compressor", "gptqmodel"]:
        return self.backend

    @property
    def stored_bits(self) -> list[int]:
        return [level.bits for level in self.levels.values()]

    @property
    def calibration(self) -> Calibration:
        return Calibration(self.calibration_samples, self.max_length)

    @property
    def note(self) -> str:
        grids = [
            f"{name}: {level.bits} bits per {_group(level.group_size)}"
            for name, level in self.levels.items()
        ]
        return f"GPTQ by {self.backend}, weights only; {'; '.join(grids)}"

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


class Checkpoint(PerturbationSettings):
    """Ready-made quantized checkpoints (GPTQ, AWQ or compressed-tensors) in an arm's place."""

    partial: ClassVar[bool] = True
    kind: Literal["checkpoint"]
    levels: Annotated[dict[Name, list[Variant]], AfterValidator(_by_number)] = Field(
        min_length=1,
        description="checkpoints by name, each for the arms and models that it exists for",
    )

    @model_validator(mode="after")
    def _one_an_arm(self) -> Checkpoint:
        for name, variants in self.levels.items():
            places = [(variant.model, variant.arm) for variant in variants]
            for model, arm in places:
                if places.count((model, arm)) > 1:
                    raise ValueError(f"level '{name}' has two checkpoints of {model}, arm {arm}")
        return self

    @property
    def copies_by(self) -> Literal["checkpoint"]:
        return "checkpoint"

    @property
    def variants(self) -> Mapping[str, Sequence[Variant]]:
        return self.levels

    @property
    def note(self) -> str:
        sources = [
            f"{name}: {', '.join(f'{v.source} for {v.model}, {v.arm}' for v in variants)}"
            for name, variants in self.levels.items()
        ]
        return f"ready-made checkpoints, their weights decompressed; {'; '.join(sources)}"

    def of(self, model: str, arm: str) -> Self | None:
        """Return the levels that have a checkpoint of this arm, with it alone; None without any."""
        of_arm = {
            name: [variant for variant in variants if (variant.model, variant.arm) == (model, arm)]
            for name, variants in self.levels.items()
        }
        levels = {name: variants for name, variants in of_arm.items() if variants}
        return self.model_copy(update={"levels": levels}) if levels else None


class FakeQuantLevel(GptqLevel):
    """One pair of grids of W4A4."""

    activation_bits: Bits = Field(4, description="bits per activation")
    activation_group_size: ActivationGroup = Field(
        128, description="activations that share a scale: a number, `token` or `tensor`"
    )


class FakeQuant(PerturbationSettings):
    """W4A4: weights and activations of every decoder linear rounded at run time (RTN)."""

    copied_weights: ClassVar[Literal["none", "linear", "all"]] = "linear"
    kind: Literal["fake_quant"]
    levels: Annotated[dict[Name, FakeQuantLevel], AfterValidator(_by_number)] = Field(
        min_length=1, description="grids by name"
    )

    @property
    def note(self) -> str:
        grids = [
            f"{name}: {level.bits}-bit weights per {_group(level.group_size)},"
            f" {level.activation_bits}-bit activations per {_group(level.activation_group_size)}"
            for name, level in self.levels.items()
        ]
        return f"symmetric rounding to nearest at run time, no rotation; {'; '.join(grids)}"
