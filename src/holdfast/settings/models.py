"""Settings of a checkpoint: where a model's weights come from and how they are loaded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from holdfast.settings.base import Frozen
from holdfast.settings.pocket import BaseModelSettings, JudgeModelSettings
from holdfast.text import PathName, Repository

Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
DType = Literal["float32", "bfloat16", "float16"]


class ScratchModel(Frozen):
    """A small Llama with a trained BPE tokenizer, made from the run's own texts.

    It exercises every stage at full data size where no trained weights can be had; its numbers
    mean nothing, and every table that holds one says so.
    """

    vocabulary: int = Field(4096, ge=300, description="BPE vocabulary size, in tokens")
    hidden_size: int = Field(64, ge=8, description="width of the residual stream")
    intermediate_size: int = Field(128, ge=8, description="width of the feed-forward layer")
    layers: int = Field(4, ge=1, description="number of decoder layers")
    heads: int = Field(4, ge=1, description="attention heads")
    context: int = Field(2048, ge=64, description="longest sequence, in tokens")
    steps: int = Field(60, ge=0, description="training steps on the run's texts")
    seed: int = Field(0, ge=0, description="seed of initialisation and data order")


class ModelSettings(Frozen):
    """A checkpoint: exactly one of ``hub``, ``path``, ``pocket``, ``pocket_judge``, ``scratch``."""

    hub: Repository | None = Field(None, description="Hugging Face repository id; needs `revision`")
    revision: Revision | None = Field(
        None, description="commit of the hub repository, 40 hexadecimal digits"
    )
    path: PathName | None = Field(None, description="local Hugging Face folder (safetensors)")
    pocket: BaseModelSettings | None = Field(
        None, description="base model of the embedded world, trained by the run"
    )
    pocket_judge: JudgeModelSettings | None = Field(
        None, description="judge of the embedded world, trained by the run"
    )
    scratch: ScratchModel | None = Field(
        None, description="small random model trained briefly on the run's texts"
    )
    layers: int | None = Field(
        None, ge=1, description="number of decoder layers; required for `hub` and `path`"
    )
    dtype: DType = Field("float32", description="type the weights are loaded and stored in")
    meaningless: bool = Field(
        False,
        description="an untrained stand-in, whose numbers mean nothing: every table and figure"
        " says so (always true of `scratch`)",
    )
    trust_remote_code: bool = Field(
        False, description="run code from the model's repository; needs a pinned `revision`"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ModelSettings:
        sources = ("hub", "path", "pocket", "pocket_judge", "scratch")
        given = [name for name in sources if getattr(self, name) is not None]
        if len(given) != 1:
            there = " and ".join(given) if given else "none"
            raise ValueError(f"give exactly one of {', '.join(sources)} (found {there})")
        if self.hub and not self.revision:
            raise ValueError("`hub` needs `revision`, the 40-digit commit to pin")
        if self.revision and not self.hub:
            raise ValueError("`revision` belongs to `hub`; remove it")
        if self.trust_remote_code and not self.hub:
            raise ValueError("`trust_remote_code` is only for a `hub` model with a revision")
        return self

    @property
    def says_nothing(self) -> bool:
        """Whether numbers from this model mean nothing."""
        return self.meaningless or self.scratch is not None

    @property
    def kind(self) -> str:
        """Which of the sources is given."""
        sources = ("hub", "path", "pocket", "pocket_judge", "scratch")
        return next(name for name in sources if getattr(self, name) is not None)

    @property
    def layer_count(self) -> int | None:
        """Number of decoder layers, where the settings tell it."""
        made_here = self.pocket or self.pocket_judge or self.scratch
        return made_here.layers if made_here else self.layers
