"""Settings of the stages, whatever arm they start from."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from holdfast.settings.base import Frozen

Scheduler = Literal["constant_with_warmup", "cosine"]
TrainingData = Literal["alignment", "safety"]


class FirstOrder(Frozen):
    """Supervised fine-tuning by SGD on the response tokens (Algorithm 1, stage I; Table 5)."""

    data: TrainingData = Field(
        "alignment", description="training pairs; both sets are CB-Safety in the paper (Table 5)"
    )
    steps: int = Field(100, gt=0, description="optimizer steps; 100 in Table 5")
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd", description="SGD, or AdamW (two more float32 copies of the weights); Table 5: SGD"
    )
    learning_rate: float = Field(
        1e-2, gt=0, description="peak learning rate; Table 5 searches 5e-3, 8e-3, 1e-2, 1.2e-2"
    )
    momentum: float = Field(
        0.0, ge=0, lt=1, description="SGD momentum, no dampening; Table 5 searches 0 and 0.5"
    )
    scheduler: Scheduler = Field(
        "cosine",
        description="learning-rate schedule; Table 5 searches constant_with_warmup and cosine",
    )
    warmup_ratio: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the steps with a linear warm-up; Table 5 searches 0.05 and 0.08",
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="decay added to the clipped gradient, as torch.optim.SGD, or taken off the "
        "weights, as torch.optim.AdamW; Table 5: 0",
    )
    max_grad_norm: float | None = Field(
        1.0,
        gt=0,
        description="global norm the gradient is clipped to, null for none; not in the paper, "
        "1 is the default of the usual trainer",
    )
    batch_size: int = Field(1, gt=0, description="samples a forward pass; Table 5: 1")
    gradient_accumulation: int = Field(8, gt=0, description="forward passes a step; Table 5: 8")
    compute: Literal["float32", "bfloat16"] = Field(
        "bfloat16",
        description="type of the matrix products; the weights are float32 while they train "
        "(16-bit weights would swallow steps of this size)",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="recompute activations in the backward pass: less memory, same result; one "
        "GPU of 80 GB needs it at 8 billion parameters, and momentum needs two",
    )
    save_every: int = Field(
        25, gt=0, description="steps between the checkpoints that a killed job resumes from"
    )

    @model_validator(mode="after")
    def _momentum_is_of_sgd(self) -> Self:
        if self.optimizer == "adamw" and self.momentum:
            raise ValueError("`momentum` is SGD's; leave it out with `optimizer: adamw`")
        return self

    @property
    def states(self) -> int:
        """Copies of the weights that the optimizer keeps."""
        return 2 if self.optimizer == "adamw" else int(self.momentum > 0)

    @property
    def held(self) -> int:
        """Copies of the weights that training holds: they, their gradient, the optimizer's."""
        return 2 + self.states

    @property
    def passes(self) -> int:
        """Forward passes that a sample takes: a backward pass is two, recomputing one more."""
        return 4 if self.gradient_checkpointing else 3

    def processes(self, gpus: int) -> int:
        """Processes that share the work where there are ``gpus`` GPUs."""
        return max(1, gpus)


class ZerothOrder(Frozen):
    """Refinement by two-point gradient estimates (Algorithm 1, stage III; Table 5)."""

    data: TrainingData = Field(
        "safety", description="pairs the loss is taken on; both sets are CB-Safety in the paper"
    )
    steps: int = Field(10, gt=0, description="update steps; 10 in Table 5")
    learning_rate: float = Field(
        4e-3,
        gt=0,
        description="peak learning rate; Table 5 searches 1e-3, 4e-3, 1e-2, 1.5e-2 (focused)",
    )
    beta: float = Field(
        1e-3,
        gt=0,
        description="distance of the two evaluated points, in units of the weights; Table 5 "
        "searches 8e-4, 1e-3, 1.2e-3 (focused)",
    )
    directions: int = Field(
        1, gt=0, description="random directions averaged in one step; 1 in Algorithm 1"
    )
    batch_size: int = Field(
        8, gt=0, description='data samples a step; Table 5: "samples per update 8"'
    )
    forward_batch_size: int = Field(
        8, gt=0, description="data samples a forward pass; memory only, up to rounding"
    )
    cache_gib: float = Field(
        4.0,
        gt=0,
        description="memory for the hidden states below the lowest layer that moves, in GiB; "
        "memory only, up to rounding",
    )
    direction: Literal["gaussian", "sphere"] = Field(
        "gaussian",
        description="Gaussian (Definition 3.1) or uniform on the unit sphere of the selected "
        "parameters (unbiased with scale_by_dimension)",
    )
    scale_by_dimension: bool = Field(
        False,
        description="multiply the estimate by the number of selected parameters (Algorithm 1, "
        "line 16); with Gaussian directions this overshoots by that factor",
    )
    max_grad_norm: float | None = Field(
        1.0,
        gt=0,
        description="global norm the estimate is clipped to, null for none; not in the paper, but "
        "only a clipped step fits its perplexities",
    )
    scheduler: Scheduler = Field("cosine", description="learning-rate schedule; Table 5: cosine")
    warmup_ratio: float = Field(
        0.0, ge=0, le=1, description="share of the steps with a linear warm-up; Table 5: 0"
    )
    weight_decay: float = Field(
        1e-4,
        ge=0,
        description="decay added to the clipped estimate, as torch.optim.SGD; Table 5: 1e-4",
    )
    momentum: float = Field(
        0.0, ge=0, lt=1, description="momentum of the update, no dampening; Table 5: 0"
    )
    max_predicted_move: float = Field(
        1e-3,
        gt=0,
        description="root-mean-square move a weight and step, in units of the weights, above which "
        "a step is warned of; 1e-3 is the paper's weakest weight noise",
    )


class SmoothedFirstOrder(FirstOrder):
    """First-order training of the smoothed loss E f(theta + rho v) (f_rho of Theorem 4.4).

    The gradient is backpropagated through ``copies`` randomly perturbed copies a step: it is the
    exact gradient of what zeroth-order refinement estimates from two-point differences.
    """

    data: TrainingData = Field("safety", description="training pairs")
    steps: int = Field(10, gt=0, description="optimizer steps")
    rho: float = Field(
        gt=0, description="standard deviation of the copies' noise, in units of the weights"
    )
    copies: int = Field(8, gt=0, description="perturbed copies that a step's gradient averages")

    @property
    def held(self) -> int:
        """Those of first-order training, and one of what is perturbed."""
        return super().held + 1

    @property
    def passes(self) -> int:
        """Those of every copy."""
        return self.copies * super().passes

    def processes(self, gpus: int) -> int:
        """One: the copies are of the whole model."""
        return 1


class Move(Frozen):
    """What makes an arm without training: a line of JSON, or a few factors."""

    @property
    def loads_other(self) -> bool:
        """Whether loading, and not only making, reads another arm than the parent."""
        return False


class Lox(Move):
    """W + coefficient * (top-k part of what alignment changed), tensor by tensor."""

    rank: int = Field(
        6, ge=0, description="singular directions kept of each tensor; 0: all of them (released: 6)"
    )
    coefficient: float = Field(1.25, description="how far to extrapolate (released: 1.25)")

    @property
    def loads_other(self) -> bool:
        """The arm before alignment, where no factors of the difference are kept."""
        return not self.rank


class Recast(Move):
    """What storing in a type does to weights."""

    dtype: Literal["bfloat16", "float16"] = Field(
        "bfloat16", description="type that the weights are rounded to; Table 5's checkpoint dtype"
    )


class RandomMove(Move):
    """A move that means nothing."""

    draw: int = Field(0, ge=0, description="number of the draw; another number, another move")


class SignFlip(Move):
    """A zeroth-order log with its scalars negated."""
