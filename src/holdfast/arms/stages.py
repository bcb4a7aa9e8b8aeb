"""The module of a stage, found by its name: ``holdfast.arms.<stage>``.

Which functions it has follows from what its arms ``make`` (``settings.arms``):

- ``checkpoint``: ``make(settings, task)`` trains and returns a ``task.Trained``;
- ``replay_log``: ``make(settings, task)`` refines and returns a ``task.Refined``;
- ``move``: ``make(made, settings, parent, other, seed)`` puts what is to be kept of the move into
  the folder ``made``, and returns what was spent on it before, if anything was.

Loading an arm that is no checkpoint calls ``apply(model, folder, record)``, which puts the move
stored in the arm's folder on ``model``, its parent, in place; ``record`` is the arm's.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import BaseModel

from holdfast.settings.arms import STAGES


def stage_module(stage: str) -> Any:
    """Return the module of a stage of the catalogue."""
    return import_module(f"holdfast.arms.{stage}")


def stage_of(move: BaseModel) -> str:
    """Return the stage that has these settings of its own."""
    return next(name for name, arm in STAGES.items() if arm.move_type is type(move))
