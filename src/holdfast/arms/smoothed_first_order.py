"""Noise-smoothed first-order training: the exact gradient of what zeroth-order steps estimate.

A step's gradient is the mean over ``copies`` of the gradient of the loss at theta + rho v, with v
Gaussian and keyed: an unbiased estimate of the gradient of f_rho(theta) = E f(theta + rho v), whose
decrease is what the paper's Theorem 4.4 asks of a zeroth-order step. Two-point differences estimate
the same gradient along one line a direction; backpropagation sees all of it, for the price of three
forward passes a copy instead of two a direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from torch import Tensor

from holdfast.arms.first_order import (
    OneProcess,
    accelerated,
    float32_parameters,
    identify,
    make_optimizer,
    train_steps,
    training_mode,
)
from holdfast.arms.task import Task, Trained
from holdfast.arms.training_state import TrainingStep
from holdfast.engine.batches import Example
from holdfast.engine.cost import measured
from holdfast.engine.parameters import layer_parameters, put_noise, restored
from holdfast.numerics.stream import key
from holdfast.settings.stages import SmoothedFirstOrder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PURPOSE = "smoothed_first_order"


def make(settings: SmoothedFirstOrder, task: Task) -> Trained:
    """Train the task's parent, in this process.

    Raises:
        HoldfastError: the loss or the gradient is no finite number; a layer does not exist.
    """
    with measured() as meter:
        loaded, examples = task.load_to_train()
        history = train_smoothed(
            loaded.model,
            examples,
            settings,
            layers=task.layers,
            seed=task.seed,
            scratch=task.scratch,
        )
    return Trained(meter.usage, loaded, history)


def train_smoothed(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: SmoothedFirstOrder,
    *,
    layers: Sequence[int] | None,
    seed: int,
    scratch: Path,
) -> list[TrainingStep]:
    """Train the given decoder layers (None: every parameter) of ``model`` in place.

    As ``first_order.train``, but for the perturbed copies: only the parameters that are trained are
    perturbed, and a step's loss is the mean over its copies. Memory: a float32 copy of what is
    trained, beside what ``first_order.train`` takes.

    Raises:
        HoldfastError: the loss or the gradient is no finite number; a layer does not exist.
    """
    run = identify(model, examples, settings, seed, layers)
    with float32_parameters(model), training_mode(model, settings.gradient_checkpointing):
        trained = layer_parameters(model, layers)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trained)
        optimizer = make_optimizer(model, settings)
        with accelerated(model, settings) as accelerator:
            process = _Smoothed(model, accelerator, settings, trained, seed)
            return train_steps(process, optimizer, examples, settings, seed, scratch, run)


class _Smoothed(OneProcess):
    """The whole model and every row, seen through perturbed copies."""

    def __init__(
        self,
        model: PreTrainedModel,
        accelerator: Accelerator,
        settings: SmoothedFirstOrder,
        trained: dict[str, torch.nn.Parameter],
        seed: int,
    ) -> None:
        super().__init__(model, accelerator)
        self._settings, self._trained, self._seed = settings, trained, seed

    def backward(self, rows: Sequence[Example], tokens: int, step: int) -> Tensor:
        # All passes of a step meet the same copies, so that splitting its batch changes nothing.
        shares, copies = [], self._settings.copies
        with restored(self._trained) as kept:
            for copy in range(copies):
                direction = key(self._seed, PURPOSE, step=step, direction=copy)
                put_noise(self._trained, kept, self._settings.rho, direction)
                shares.append(super().backward(rows, tokens * copies, step))
        return torch.stack(shares).sum()
