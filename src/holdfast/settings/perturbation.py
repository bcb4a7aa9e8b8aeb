"""What every perturbation tells of itself: what it is tested at, what it needs, how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from holdfast.settings.base import Frozen
from holdfast.settings.cells import Level, level_name
from holdfast.settings.data import Rows
from holdfast.settings.models import Revision
from holdfast.settings.own import OwnObject
from holdfast.settings.stages import FirstOrder
from holdfast.text import PathName, Repository


def noise_seed(seed: int, draw: int) -> int:
    """Return the seed of a noise draw on an arm of training seed ``seed``.

    All arms, models and levels share it, so that comparisons between them are paired.
    """
    return 1000 * seed + draw


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


class Calibration(NamedTuple):
    """How much text a quantizer sees: this many, none longer than so many tokens."""

    samples: int
    tokens: int


class PerturbationSettings(Frozen):
    """What a perturbation is called, and what it needs: by default a live model alone."""

    place: ClassVar[int] = 1  # in jobs: a smaller one comes first
    partial: ClassVar[bool] = False  # whether some models and arms lack it
    copied_weights: ClassVar[Literal["none", "linear", "all"]] = "none"  # kept beside a live model
    label: str = Field("", description="name shown in tables and figures; default: the entry's")

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (level, draw) pairs under test: one draw a level, or the only cell."""
        return [(str(level), 0) for level in getattr(self, "levels", [""])]

    def of(self, model: str, arm: str) -> Self | None:
        """Return what of it is tested on one arm of one model; None for nothing."""
        return self

    def only(self, levels: Sequence[Level]) -> Self:
        """Return it with those of its levels that are named; one without levels as it is."""
        wanted, own = set(map(level_name, levels)), getattr(self, "levels", None)
        if not own:
            return self
        kept: Any = [level for level in own if level_name(level) in wanted]
        if isinstance(own, Mapping):
            kept = {level: own[level] for level in kept}
        return self.model_copy(update={"levels": kept})

    def at(self, level: str) -> dict[str, object]:
        """Return what a cell of ``level`` depends on: not other levels, nor how many draws."""
        return self.only([level]).model_dump(mode="json", exclude={"label", "draws"})

    def noise_seeds(self, seed: int) -> dict[str, list[int]]:
        """Return by level the seeds of its draws on an arm of training seed ``seed``."""
        seeds = [noise_seed(seed, draw) for draw in range(getattr(self, "draws", 0))]
        return {level: seeds for level, _ in self.cells} if seeds else {}

    @property
    def own(self) -> OwnObject | None:
        """The object of the user's own that it is, where it is one."""
        return None

    @property
    def copies_by(self) -> Literal["llm-compressor", "gptqmodel", "checkpoint", "finetune"] | None:
        """What puts a copy of the weights on disk for every level; None: a live model is moved."""
        return None

    @property
    def stored(self) -> bool:
        """Whether every level has a copy of the weights on disk."""
        return self.copies_by is not None

    @property
    def stored_bits(self) -> list[int]:
        """Bits per weight of the quantized copies that the run writes."""
        return []

    @property
    def variants(self) -> Mapping[str, Sequence[Variant]]:
        """The ready-made checkpoints of each level, where it is made of such."""
        return {}

    @property
    def calibration(self) -> Calibration | None:
        """How much of the calibration data it sees; None: it needs none."""
        return None

    @property
    def pairs(self) -> Rows | None:
        """Data of its own that it trains on."""
        return None

    @property
    def training(self) -> FirstOrder | None:
        """The training that it is, where it is one."""
        return None

    @property
    def validation_levels(self) -> Sequence[Level]:
        """Levels that points of a sweep are put under where `sweeps.perturbations` is empty."""
        return []

    @property
    def unfit_for_sweeps(self) -> str:
        """Why points of a sweep cannot be put under it; empty where they can."""
        if self.stored:
            return (
                "points are scored without quantized copies; name a perturbation of a live model"
                " (fake_quant, weight_noise or activation_noise)"
            )
        return ""

    @property
    def symbol(self) -> str:
        """Greek letter before a level; empty where levels are no numbers."""
        return ""

    @property
    def note(self) -> str:
        """What the levels mean, for a table's footnote."""
        return ""
