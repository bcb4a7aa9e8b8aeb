"""LoX: extrapolate along the top singular directions of what alignment changed.

Perin et al., "LoX: Low-Rank Extrapolation Robustifies LLM Safety Against Fine-tuning",
arXiv:2506.15606: W_aligned + coefficient * U_k S_k V_k^T of W_aligned - W_base, for every tensor
with more than one dimension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from holdfast.arms.load import load_arm
from holdfast.checkpoints.load import device
from holdfast.checkpoints.records import ArmRecord, beside, checked
from holdfast.engine.cost import Usage, measured
from holdfast.files.atomic import atomic_dir, read_json
from holdfast.settings.stages import Lox

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FACTORS = "factors.safetensors"
LEFT, RIGHT = ".left", ".right"


def make(made: Path, settings: Lox, *, other: Path, **_: object) -> Usage | None:
    """Keep the factors that this rank has of those in ``other``; at rank 0 there are none.

    Returns what the decomposition took, which every LoX arm counts as its own.
    """
    if not settings.rank:
        return None
    save_file(first_factors(load_file(other / FACTORS), settings.rank), made / FACTORS)
    path = cost_of_factors(other)
    return checked(Usage, read_json(path), str(path))


def apply(model: PreTrainedModel, folder: Path, record: ArmRecord) -> None:
    """Extrapolate by the factors kept, or, without any, from the arm before alignment."""
    settings = record.settings_of(Lox, folder)
    if record.other:
        extrapolate_fully(model, load_arm(beside(folder, record.other), cards={}).model, settings)
    else:
        extrapolate(model, load_file(folder / FACTORS), settings)


def make_factors(folder: Path, *, aligned: Path, base: Path, rank: int) -> Usage:
    """Store the top ``rank`` factors of what alignment changed, for every LoX arm of the two.

    Returns its usage, which belongs in the file ``cost_of_factors``: LoX arms count it as theirs.
    """
    with measured() as meter, atomic_dir(folder) as made:
        after, before = (load_arm(arm, cards={}).model for arm in (aligned, base))
        save_file(change_factors(after, before, rank, device()), made / FACTORS)
    return meter.usage


def cost_of_factors(folder: Path) -> Path:
    """Return where the cost of the factors in ``folder`` is kept: beside them."""
    return folder.with_name(f"{folder.name}.cost.json")


@torch.no_grad()
def change_factors(
    aligned: PreTrainedModel, base: PreTrainedModel, rank: int, device: torch.device
) -> dict[str, Tensor]:
    """Return the top ``rank`` factors of every tensor's change, from one decomposition each.

    ``<name>.left`` is U S, [rows, rank], and ``<name>.right`` V^T, [rank, columns], in float32 on
    the processor; dimensions after the first count as columns. The first k columns and rows are the
    factors of rank k, so that one decomposition serves every k up to ``rank``.
    """
    factors = {}
    for name, change in _changes(aligned, base):
        left, values, right = torch.linalg.svd(change.to(device), full_matrices=False)
        factors[name + LEFT] = (left[:, :rank] * values[:rank]).cpu().contiguous()
        factors[name + RIGHT] = right[:rank].cpu().contiguous()
    return factors


def first_factors(factors: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Return the factors of rank ``rank`` out of those of a higher one."""
    return {
        name: (factor[:, :rank] if name.endswith(LEFT) else factor[:rank]).clone().contiguous()
        for name, factor in factors.items()
    }


@torch.no_grad()
def extrapolate(model: PreTrainedModel, factors: Mapping[str, Tensor], settings: Lox) -> None:
    """Add coefficient * U_k S_k V_k^T to ``model``, in place; each sum is rounded once."""
    parameters = dict(model.named_parameters())
    for name in (name.removesuffix(LEFT) for name in factors if name.endswith(LEFT)):
        parameter = parameters[name]
        left, right = (factors[name + side].to(parameter.device) for side in (LEFT, RIGHT))
        _add(parameter, left @ right, settings.coefficient)


@torch.no_grad()
def extrapolate_fully(model: PreTrainedModel, base: PreTrainedModel, settings: Lox) -> None:
    """Add coefficient * (model - base) to ``model``, in place: LoX with every direction."""
    parameters = dict(model.named_parameters())
    for name, change in _changes(model, base):
        _add(parameters[name], change, settings.coefficient)


def _add(parameter: Tensor, change: Tensor, coefficient: float) -> None:
    moved = parameter.float() + coefficient * change.view(parameter.shape)
    parameter.copy_(moved)


def _changes(aligned: PreTrainedModel, base: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Yield the float32 change, [rows, columns], of every tensor of more than one dimension."""
    before = dict(base.named_parameters())
    for name, parameter in aligned.named_parameters():
        if parameter.dim() > 1:
            change = parameter.float() - before[name].to(parameter.device).float()
            yield name, change.flatten(start_dim=1)
