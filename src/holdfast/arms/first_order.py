"""First-order alignment: SGD on the mean NLL of response tokens (Algorithm 1, stage I; Table 5)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import AutocastKwargs
from torch import Tensor

from holdfast.arms.load import load_arm
from holdfast.arms.schedule import rate_factor, sample_indices
from holdfast.arms.task import Task, Trained
from holdfast.arms.training_state import (
    CHECKPOINT,
    TrainingStep,
    load_state,
    load_trained,
    save_state,
)
from holdfast.engine.batches import Example, collate, digest
from holdfast.engine.cost import measured
from holdfast.engine.loss import input_device, response_nll
from holdfast.engine.parameters import fingerprint
from holdfast.errors import Diverged
from holdfast.progress import track
from holdfast.settings.stages import FirstOrder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def make(settings: FirstOrder, task: Task) -> Trained:
    """Train the task's parent, in this process or, the same up to rounding, in several.

    Raises:
        Diverged: the loss or the gradient is no finite number.
    """
    seed, scratch = task.seed, task.scratch
    if task.processes > 1:
        from holdfast.arms.distributed import train_on_ranks  # a second of imports

        load, processes = partial(_model_and_examples, task), task.processes
        usage = train_on_ranks(load, settings, seed=seed, scratch=scratch, processes=processes)
        loaded = load_arm(task.parent, cards={})
        return Trained(usage, loaded, load_trained(scratch / CHECKPOINT, loaded.model))
    with measured() as meter:
        loaded, examples = task.load_to_train()
        history = train(loaded.model, examples, settings, seed=seed, scratch=scratch)
    return Trained(meter.usage, loaded, history)


def _model_and_examples(task: Task) -> tuple[PreTrainedModel, list[Example]]:
    loaded, examples = task.load_to_train()
    return loaded.model, examples


def train(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: FirstOrder,
    *,
    seed: int,
    scratch: Path,
    after: Callable[[int], None] | None = None,
) -> list[TrainingStep]:
    """Train ``model`` in place on ``examples`` in this process; return one entry a step.

    Weights are float32 while they train and are rounded once, to their own types, at the end. The
    loss is the token mean over all of a step's samples, however they are split into forward passes.
    Every ``save_every`` steps the state is written to the folder ``scratch``; a killed run started
    again with the same arguments goes on from there and ends with the same bits. The caller deletes
    ``scratch`` once the model is stored. ``after`` is called with the number of steps done after
    each of them (again, for those after the last state, in a run that was killed).

    Memory for 8 billion parameters, computed: weights and gradients 60 GiB, and beside them, with
    gradient checkpointing, about 6 GiB for one sample of 1,536 tokens, so that one GPU of 80 GB
    will do. Momentum takes another 30 GiB: two such GPUs, by ``holdfast.arms.distributed``.

    Raises:
        Diverged: the loss or the gradient is no finite number.
    """
    run = identify(model, examples, settings, seed)
    with float32_parameters(model), training_mode(model, settings.gradient_checkpointing):
        optimizer = make_optimizer(model, settings)
        with accelerated(model, settings) as accelerator:
            process = OneProcess(model, accelerator)
            return train_steps(process, optimizer, examples, settings, seed, scratch, run, after)


class Process(Protocol):
    """A process's part in training: which rows it takes, and what it tells the others."""

    model: PreTrainedModel
    first: bool  # whether this process reports and writes
    alone: bool

    def passes(self, chosen: Sequence[Example], batch_size: int) -> list[Sequence[Example]]:
        """Return this process's forward passes of a step's samples."""

    def backward(self, rows: Sequence[Example], tokens: int, step: int) -> Tensor:
        """Add the gradient of these rows' share of the mean over ``tokens``; return that share."""

    def loss(self, shares: Sequence[Tensor]) -> float:
        """Sum all processes' shares of the loss."""

    def clip(self, limit: float) -> float:
        """Clip the gradient of the whole model to a global norm; return the norm before."""

    def whole(self, tensor: Tensor) -> Tensor:
        """Gather a parameter, or what belongs to one; only the first process gets it."""

    def part(self, tensor: Tensor, parameter: Tensor) -> Tensor:
        """Return this process's part of a whole tensor that belongs to ``parameter``."""


class OneProcess:
    """The whole model and every row."""

    first = alone = True

    def __init__(self, model: PreTrainedModel, accelerator: Accelerator) -> None:
        self.model = model
        self._accelerator = accelerator

    def passes(self, chosen: Sequence[Example], batch_size: int) -> list[Sequence[Example]]:
        return [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]

    def backward(self, rows: Sequence[Example], tokens: int, _step: int) -> Tensor:
        total, _ = response_nll(self.model, collate(rows, pad_id=0))
        loss = total / tokens
        self._accelerator.backward(loss)
        return loss.detach()

    def loss(self, shares: Sequence[Tensor]) -> float:
        return math.fsum(torch.stack(list(shares)).tolist())

    def clip(self, limit: float) -> float:
        return float(self._accelerator.clip_grad_norm_(self.model.parameters(), limit))

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor

    def part(self, tensor: Tensor, _parameter: Tensor) -> Tensor:
        return tensor


def train_steps(
    process: Process,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[Example],
    settings: FirstOrder,
    seed: int,
    scratch: Path,
    run: str,
    after: Callable[[int], None] | None = None,
) -> list[TrainingStep]:
    """Do the steps that the state in ``scratch`` of the same ``run`` has not done yet.

    Several processes hand the trained weights on by that state too, so they also write the last.
    """
    path, model = scratch / CHECKPOINT, process.model
    history = load_state(path, run, model, optimizer, part=process.part)
    left = range(len(history), settings.steps)
    for step in track(left, "first-order training") if process.first else left:
        torch.manual_seed(seed * settings.steps + step)  # dropout, in a model that has it
        history.append(_step(process, optimizer, examples, settings, step, seed))
        if after:
            after(step + 1)
        due = (step + 1) % settings.save_every == 0
        if due if step + 1 < settings.steps else not process.alone:
            whole, writes = process.whole, process.first
            save_state(path, run, model, optimizer, history, whole=whole, writes=writes)
    return history


def _step(
    process: Process,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[Example],
    settings: FirstOrder,
    step: int,
    seed: int,
) -> TrainingStep:
    size = settings.batch_size * settings.gradient_accumulation
    chosen = [
        examples[index] for index in sample_indices(len(examples), size, step, seed, "first_order")
    ]
    tokens = sum(len(example.input_ids) - example.labels_from for example in chosen)
    factor = rate_factor(settings.scheduler, step, settings.steps, settings.warmup_ratio)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor
    passes = process.passes(chosen, settings.batch_size)
    loss = process.loss([process.backward(rows, tokens, step) for rows in passes])
    norm = process.clip(math.inf if settings.max_grad_norm is None else settings.max_grad_norm)
    if not math.isfinite(loss + norm):
        raise Diverged(
            f"first-order step {step}: the loss is {loss} and the gradient norm {norm}: lower "
            f"learning_rate ({settings.learning_rate}) or max_grad_norm ({settings.max_grad_norm}),"
            " or check the training data"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return TrainingStep(step, loss, tokens, settings.learning_rate * factor, norm)


def make_optimizer(model: PreTrainedModel, settings: FirstOrder) -> torch.optim.Optimizer:
    """Return SGD, as in Table 5, or AdamW."""
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(
            model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            foreach=False,
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        foreach=False,  # no second copy of all gradients
    )


@contextmanager
def accelerated(model: PreTrainedModel, settings: FirstOrder) -> Iterator[Accelerator]:
    """Let accelerate run the model's forward passes in the type that ``compute`` names."""
    AcceleratorState._reset_state()  # another training in this process may have used another type
    # The cache keeps a 16-bit copy of every weight to the end of a forward pass. Checkpointing
    # drops what a layer leaves behind, but could not drop those.
    cached = AutocastKwargs(cache_enabled=not settings.gradient_checkpointing)
    accelerator = Accelerator(
        mixed_precision="bf16" if settings.compute == "bfloat16" else "no",
        cpu=input_device(model).type == "cpu",
        kwargs_handlers=[cached],
    )
    prepared = accelerator.prepare(model)
    try:
        yield accelerator
    finally:
        accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)


@contextmanager
def float32_parameters(model: PreTrainedModel) -> Iterator[None]:
    """Let every parameter learn in float32, and round it to its own type at the end."""
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.data = parameter.data.float()
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.grad = None
            parameter.data = parameter.data.to(types[name])


@contextmanager
def training_mode(model: PreTrainedModel, checkpointing: bool) -> Iterator[None]:
    """Put the model into training mode, with or without gradient checkpointing, and back."""
    was_training = model.training
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        if checkpointing:
            model.gradient_checkpointing_disable()
        model.train(was_training)


def identify(
    model: PreTrainedModel, examples: Sequence[Example], settings: FirstOrder, seed: int, *more: Any
) -> str:
    """Digest what the result depends on, so that no other run's state is taken up."""
    parts = (fingerprint(model), settings.model_dump(), seed, digest(examples), *more)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
