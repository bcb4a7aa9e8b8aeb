"""Models that a run makes itself: the embedded world's, and small ones trained on any texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.checkpoints.records import CHECKPOINT
from holdfast.settings.models import ModelSettings


def maker_of(
    settings: ModelSettings, scratch: Path, made_from: Sequence[Path]
) -> Callable[[Path], None] | None:
    """Return what trains a model into a folder; None for a model that comes from outside.

    Args:
        settings: where the model comes from.
        scratch: where half-done training is kept; it survives a killed job.
        made_from: what a model made here learns from: the embedded world (``pocket``), that and
            its base model (``pocket_judge``), or normalised data files (``scratch``).
    """
    if settings.pocket:
        recipe = settings.pocket

        def train_base(folder: Path) -> None:
            from holdfast.pocket.base_model import train_base_model

            train_base_model(recipe, made_from[0], folder, scratch)

        return train_base
    if settings.pocket_judge:
        judge = settings.pocket_judge

        def train_pocket_judge(folder: Path) -> None:
            from holdfast.pocket.judge_model import train_judge

            world, base = made_from
            train_judge(judge, world, base / CHECKPOINT, folder)

        return train_pocket_judge
    if settings.scratch:
        small = settings.scratch

        def train_scratch(folder: Path) -> None:
            from holdfast.pocket.scratch import train_scratch_model

            train_scratch_model(small, list(made_from), folder)

        return train_scratch
    return None
