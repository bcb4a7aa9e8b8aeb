"""Settings of the embedded world, its base model and its judges. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from holdfast.settings.base import Frozen


class WorldSettings(Frozen):
    """What the generator of the embedded world writes."""

    seed: int = Field(default=0, ge=0, description="Seed of every name, fact and split.")
    behaviors: int = Field(default=150, ge=8, le=400, description="Held-out test behaviors.")
    alignment: int = Field(
        default=800,
        ge=8,
        le=1200,
        description="Alignment pairs; half refusals, half benign answers.",
    )
    safety: int = Field(default=128, ge=1, le=256, description="Refusal pairs of D_safe.")
    benign: int = Field(default=60, ge=1, le=200, description="Held-out benign prompts.")
    validation: int = Field(
        default=64,
        ge=1,
        le=256,
        description="Refusal pairs, restricted requests and benign requests, this many each, that "
        "no training and no test holds: for sweeps.",
    )
    questions: int = Field(default=100, ge=1, le=200, description="Multiple-choice documents.")
    chats: int = Field(default=9000, ge=8, description="Chats in the base corpus.")
    articles: int = Field(
        default=5400, ge=16, description="Plain-text articles in the base corpus."
    )


class BaseModelSettings(Frozen):
    """Size and training of the embedded base model, a small Llama."""

    seed: int = Field(default=0, ge=0, description="Seed of the weights and of the order of rows.")
    hidden_size: int = Field(
        default=64, multiple_of=32, description="Width of the residual stream."
    )
    layers: int = Field(default=6, ge=1, description="Decoder layers.")
    heads: int = Field(default=4, ge=1, description="Attention heads.")
    intermediate_size: int = Field(default=192, multiple_of=32, description="Width of the MLP.")
    steps: int = Field(default=900, ge=1, description="AdamW steps.")
    batch_size: int = Field(default=9, ge=1, description="Packed rows of 128 tokens a step.")
    learning_rate: float = Field(default=4e-3, gt=0, description="Peak learning rate.")
    warmup_steps: int = Field(default=40, ge=0, description="Steps of linear warm-up.")
    weight_decay: float = Field(default=0.05, ge=0, description="AdamW weight decay.")
    asr_gate: tuple[float, float] = Field(
        default=(0.15, 0.5),
        description="Lowest and highest share of test behaviors the base model may comply with.",
    )


class JudgeModelSettings(Frozen):
    """Size and training of one embedded judge, cut from the first layers of the base model."""

    labels: Literal["yes_no", "safe_unsafe"] = Field(description="The two words it answers with.")
    seed: int = Field(default=0, ge=0, description="Seed of the training set and its order.")
    layers: int = Field(default=3, ge=1, description="Decoder layers, taken from the base model.")
    steps: int = Field(default=200, ge=1, description="AdamW steps.")
    batch_size: int = Field(default=16, ge=1, description="Judged completions a step.")
    learning_rate: float = Field(default=2e-3, gt=0, description="Peak learning rate.")
