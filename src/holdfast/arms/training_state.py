"""What a killed first-order training resumes from: one file, whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from holdfast.checkpoints.state import read_state
from holdfast.files.atomic import atomic_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHECKPOINT = "training.pt"
KEYS = ("identity", "parameters", "optimizer", "history")


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step: loss in nats a token before it, gradient norm before clipping."""

    step: int
    loss: float
    tokens: int
    learning_rate: float
    gradient_norm: float


def save_state(
    path: Path,
    identity: str,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    history: list[TrainingStep],
    *,
    whole: Callable[[Tensor], Tensor],
    writes: bool,
) -> None:
    """Write everything that the next step depends on, atomically.

    ``whole`` gathers a tensor that is spread over processes, all of which call this; the one that
    ``writes`` does so. The parameters stay in the type they train in.
    """
    optimizer_state = optimizer.state_dict()
    state = {
        "identity": identity,
        "parameters": {name: whole(parameter.data) for name, parameter in model.named_parameters()},
        "optimizer": optimizer_state | {"state": _each(optimizer_state, lambda _, t: whole(t))},
        "history": [vars(entry) for entry in history],
    }
    if writes:
        # Given a path, torch would not say why it cannot write there.
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)


@torch.no_grad()
def load_state(
    path: Path,
    identity: str,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    *,
    part: Callable[[Tensor, Tensor], Tensor],
) -> list[TrainingStep]:
    """Load the state of the very same training, if there is one; return the steps done.

    ``part`` gives this process's part of a whole tensor, split like the parameter it is given.
    """
    if not path.exists():
        return []
    state = read_state(path, KEYS, mmap=True)
    if state["identity"] != identity:
        return []
    for name, parameter in model.named_parameters():
        parameter.copy_(part(state["parameters"][name], parameter))
    parameters = list(model.parameters())
    parts = _each(state["optimizer"], lambda index, tensor: part(tensor, parameters[index]))
    optimizer.load_state_dict(state["optimizer"] | {"state": parts})
    return [TrainingStep(**entry) for entry in state["history"]]


@torch.no_grad()
def load_trained(path: Path, model: PreTrainedModel) -> list[TrainingStep]:
    """Round the parameters of a finished training into ``model``, one by one; return its steps."""
    state = read_state(path, KEYS, mmap=True)
    for name, parameter in model.named_parameters():
        parameter.copy_(state["parameters"][name])
    return [TrainingStep(**entry) for entry in state["history"]]


def _each(state_dict: dict[str, Any], change: Callable[[int, Tensor], Tensor]) -> dict[int, Any]:
    """Change every tensor of an optimizer's state, given the number of its parameter."""
    return {
        index: {
            # AdamW's count of steps is a number beside the tensors of a parameter's shape.
            name: change(index, value) if isinstance(value, Tensor) and value.dim() else value
            for name, value in buffers.items()
        }
        for index, buffers in state_dict["state"].items()
    }
