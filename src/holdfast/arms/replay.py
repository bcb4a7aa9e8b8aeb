"""The weights that a log of zeroth-order steps makes from its parent's, with no forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from holdfast.arms.master import Combination, Master
from holdfast.arms.replay_log import REPLAY_LOG, Step, replay_log
from holdfast.checkpoints.records import ArmRecord
from holdfast.engine.parameters import fingerprint, layer_parameters
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json
from holdfast.numerics.stream import STREAM, Key, key
from holdfast.settings.stages import ZerothOrder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PURPOSE = "zeroth_order"


def apply(model: PreTrainedModel, folder: Path, _record: ArmRecord) -> None:
    """Replay the log in an arm's folder on its parent."""
    replay(model, read_json(folder / REPLAY_LOG))


@torch.no_grad()
def replay(model: PreTrainedModel, log: dict[str, Any]) -> None:
    """Move ``model``, the parent of the logged arm, to the logged weights, in place.

    Bit-identical to ``refine`` on the same kind of device, and equal up to float32 rounding on
    another. Raises HoldfastError when the log is damaged, ``model`` is not the parent that was
    refined, or the noise is another release's.
    """
    written = replay_log(log, STREAM)
    if fingerprint(model) != written.parent:
        raise HoldfastError(
            "this zeroth-order log belongs to another parent checkpoint: load the arm that the "
            "refinement started from, or run the refinement again"
        )
    parameters = layer_parameters(model, written.layers)
    master = Master(parameters, written.settings.momentum)
    if master.dimension != written.dimension:
        raise HoldfastError(
            f"this zeroth-order log moves {written.dimension} weights, and its layers have"
            f" {master.dimension}: it was damaged or edited; run the refinement again"
        )
    for entry in written.steps:
        apply_step(master, entry, written.settings, written.seed)
    if not all(bool(parameter.isfinite().all()) for parameter in parameters.values()):
        raise HoldfastError(
            "this zeroth-order log makes weights that are no finite numbers: it was damaged or"
            " edited; run the refinement again"
        )


def apply_step(master: Master, entry: Step, settings: ZerothOrder, seed: int) -> None:
    """Repeat a logged step: the operations on the weights of the one that was logged, in order."""
    gradient = Combination(entry.coefficients, step_keys(settings, entry.step, seed))
    master.update(gradient, entry.learning_rate, entry.clip, settings.weight_decay)


def step_keys(settings: ZerothOrder, step: int, seed: int) -> list[Key]:
    """Return the keys of a step's directions."""
    return [key(seed, PURPOSE, step=step, direction=j) for j in range(settings.directions)]
