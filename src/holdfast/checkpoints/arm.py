"""What an arm's weights folder says of itself: its stage, its settings, and where its parent is."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from holdfast.checkpoints.atomic import write_json
from holdfast.checkpoints.load import ARM_FILE


def describe_arm(
    made: Path,
    weights: Path,
    stage: str,
    parent: Path,
    seed: int,
    settings: BaseModel,
    other: Path | None = None,
) -> None:
    """Write ``arm.json`` to ``made``, which will be renamed to ``weights``.

    ``other`` is a folder besides the parent that loading the arm reads.
    """
    arm = {
        "stage": stage,
        "parent": os.path.relpath(parent, weights),
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
    }
    if other:
        arm["other"] = os.path.relpath(other, weights)
    write_json(made / ARM_FILE, arm)
