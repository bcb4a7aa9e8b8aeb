"""Settings of the layer selections: which decoder layers a stage may move.

A new kind is a class here, in the union ``SelectionSettings``, and a module
``holdfast.layers.<kind>`` with a function ``score_layers``.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from holdfast.settings.base import Frozen

TOP_M = (
    "layers selected: a number, or a share below 1 of a model's layers, rounded down; the paper "
    "takes 4 of 32 (Llama-3-8B) and 3 of 28 (Qwen2-7B), which is 0.125 of both"
)


def _whole_or_share(top_m: float) -> float:
    if top_m >= 1 and top_m != int(top_m):
        raise ValueError("give a whole number of layers, or a share of them below 1")
    return top_m


TopM = Annotated[int | float, Field(gt=0), AfterValidator(_whole_or_share)]


def selected(top_m: float, layers: int) -> int:
    """Return how many of ``layers`` decoder layers ``top_m`` stands for."""
    # The addend keeps 0.29 of 100, a hair below 29 in floating point, at 29.
    return math.floor(top_m * layers + 1e-9) if top_m < 1 else int(top_m)


class _Selection(Frozen):
    """What every kind answers; the answers here are those of most."""

    by: ClassVar[Literal["probes", "gradients", "inputs", "chance"]]
    """What a score comes from: losses of perturbed copies of a layer, gradients, the inputs of the
    linear modules, or no model at all. Memory follows from it (``engine.memory``)."""
    drawn: ClassVar[bool] = False
    """Whether a score is a mean over draws of noise, so that it has an error."""

    @property
    def pairs(self) -> int:
        """Safety pairs that scoring reads."""
        return 0

    @property
    def layers_a_job(self) -> int | None:
        """Decoder layers that one job scores; None: all."""
        return None

    def passes(self, _layers: int) -> int:
        """Forward passes of every pair in the job of a model with so many layers."""
        return 1


class Robustness(_Selection):
    """S = S_noise + quant_weight * S_quant on safety pairs (section 4.2)."""

    by = "probes"
    drawn = True
    kind: Literal["robustness"] = "robustness"
    top_m: TopM = Field(4, description=TOP_M)
    samples: int = Field(
        64, gt=0, description="safety pairs the loss is taken on; not in the paper"
    )
    batch_size: int = Field(
        8, gt=0, description="samples a forward pass; memory only, up to rounding"
    )
    rho: float = Field(
        1e-3,
        gt=0,
        description="standard deviation of the noise, in units of the weights; not in the paper, "
        "1e-3 is its weakest weight noise",
    )
    draws: int = Field(
        8, gt=0, description="noise draws averaged in S_noise; not in the paper, 1 is itself noisy"
    )
    quant_bits: int = Field(4, ge=2, le=8, description="bits of Q in S_quant; not in the paper")
    quant_group_size: int | Literal["channel", "tensor"] = Field(
        128, description="input weights that share a scale in Q; not in the paper"
    )
    quant_weight: float = Field(
        1.0, ge=0, description="weight lambda of S_quant in the score; not in the paper"
    )
    cache_gib: float = Field(
        4.0,
        gt=0,
        description="memory for the hidden states that enter a layer and leave it under each "
        "probe, in GiB; memory only, up to rounding",
    )
    layers_per_job: int = Field(4, gt=0, description="decoder layers that one job scores")

    @property
    def pairs(self) -> int:
        return self.samples

    @property
    def layers_a_job(self) -> int:
        return self.layers_per_job

    def passes(self, layers: int) -> int:
        return 1 + min(self.layers_per_job, layers) * (self.draws + 1)


class Snip(_Selection):
    """Mean of |W| * sum over samples of |dL/dW| over a layer's linear weights (SNIP)."""

    by = "gradients"
    kind: Literal["snip"] = "snip"
    top_m: TopM = Field(4, description=TOP_M)
    samples: int = Field(64, gt=0, description="safety pairs, one backward pass each")

    @property
    def pairs(self) -> int:
        return self.samples

    def passes(self, _layers: int) -> int:
        return 3


class Wanda(_Selection):
    """Mean of |W_ij| * RMS of input j over a layer's linear weights (Wanda)."""

    by = "inputs"
    kind: Literal["wanda"] = "wanda"
    top_m: TopM = Field(4, description=TOP_M)
    samples: int = Field(64, gt=0, description="safety pairs the inputs are measured on")
    batch_size: int = Field(
        8, gt=0, description="samples a forward pass; memory only, up to rounding"
    )

    @property
    def pairs(self) -> int:
        return self.samples


class Random(_Selection):
    """Layers drawn at random: the control that a score must beat."""

    by = "chance"
    kind: Literal["random"] = "random"
    top_m: TopM = Field(4, description=TOP_M)
    seed: int = Field(0, ge=0, description="seed of the draw")


SelectionSettings = Annotated[Robustness | Snip | Wanda | Random, Field(discriminator="kind")]
