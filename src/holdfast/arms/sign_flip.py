"""Control: the steps of a zeroth-order arm, each taken the other way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast.arms.replay import apply
from holdfast.arms.replay_log import REPLAY_LOG
from holdfast.files.atomic import read_json, write_json
from holdfast.settings.stages import SignFlip

__all__ = ["apply", "flip_signs", "make"]


def make(made: Path, _settings: SignFlip, *, other: Path, **_: object) -> None:
    """Keep the log of the arm in ``other``, its scalars negated."""
    write_json(made / REPLAY_LOG, flip_signs(read_json(other / REPLAY_LOG)))


def flip_signs(log: dict[str, Any]) -> dict[str, Any]:
    """Return a replay log whose scalars are negated; its directions and step sizes stay."""
    negated = ("coefficients", "projected_gradients")
    steps = [
        step | {name: [-scalar for scalar in step[name]] for name in negated}
        for step in log["steps"]
    ]
    return log | {"arm": "sign_flip", "steps": steps}
