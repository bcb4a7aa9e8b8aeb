"""Control: a Gaussian move as long as another arm's, in the tensors that it moved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field

from holdfast.arms.load import load_arm
from holdfast.checkpoints.records import ArmRecord, checked
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.numerics.noise import add_normal_, normal
from holdfast.numerics.stream import Key, key
from holdfast.settings.base import Strict
from holdfast.settings.stages import RandomMove

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PURPOSE = "random_move"
MOVE = "move.json"


class DescribedMove(Strict):
    """A move as it is stored: Euclidean norm of the whole, and what multiplies each normal."""

    seed: int
    draw: int
    tensors: list[str]
    norm: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]


def make(made: Path, settings: RandomMove, *, parent: Path, other: Path, seed: int) -> None:
    """Describe a move as long as that of the arm in ``other``, in its tensors.

    Raises:
        HoldfastError: that arm did not move.
    """
    before, moved = (load_arm(folder, cards={}).model for folder in (parent, other))
    write_json(made / MOVE, measure_move(before, moved, seed, settings.draw).model_dump())


def apply(model: PreTrainedModel, folder: Path, _record: ArmRecord) -> None:
    """Add the described move; HoldfastError when its description is damaged."""
    random_move(model, checked(DescribedMove, read_json(folder / MOVE), str(folder / MOVE)))


@torch.no_grad()
def measure_move(
    parent: PreTrainedModel, moved: PreTrainedModel, seed: int, draw: int
) -> DescribedMove:
    """Return the random move: its key, its tensors, and the scale of its noise.

    Its Euclidean norm is that of the difference between ``moved`` and ``parent``, two models of the
    same shape, over the tensors in which they differ.

    Raises:
        HoldfastError: the two models do not differ.
    """
    theirs, squares = dict(moved.named_parameters()), []
    for name, parameter in parent.named_parameters():
        square = (theirs[name].float() - parameter.float()).square().sum(dtype=torch.float64)
        squares.append((name, float(square)))
    tensors = [name for name, square in squares if square > 0]
    if not tensors:
        raise HoldfastError(
            "`like` has the weights of the arm it started from, so there is no move to imitate:"
            " raise its learning_rate, or leave this control out"
        )
    norm = math.sqrt(math.fsum(square for _, square in squares))
    direction = key(seed, PURPOSE, direction=draw)
    scale = norm / _norm(direction, {name: theirs[name] for name in tensors})
    return DescribedMove(seed=seed, draw=draw, tensors=tensors, norm=norm, scale=scale)


@torch.no_grad()
def random_move(model: PreTrainedModel, move: DescribedMove) -> None:
    """Add the described move to ``model``, in place; HoldfastError when a tensor is not there."""
    direction = key(move.seed, PURPOSE, direction=move.draw)
    parameters = dict(model.named_parameters())
    if strangers := set(move.tensors) - set(parameters):
        raise HoldfastError(f"a random move names {min(strangers)}, which the model does not have")
    for name in move.tensors:
        add_normal_(parameters[name].data, move.scale, direction, name)


def _norm(direction: Key, tensors: dict[str, Any]) -> float:
    return math.sqrt(
        math.fsum(
            float(normal(tensor.shape, direction, name).square().sum(dtype=torch.float64))
            for name, tensor in tensors.items()
        )
    )
