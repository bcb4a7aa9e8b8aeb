"""States of half-done trainings: tensors and plain values, never code."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from holdfast.errors import HoldfastError


def read_state(path: Path, keys: Iterable[str], *, mmap: bool = False) -> dict[str, Any]:
    """Return what ``torch.save`` wrote, on the processors, running none of it.

    Raises:
        HoldfastError: the file is damaged, lacks one of ``keys``, or holds more than tensors and
            plain values.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _damaged(path) from error
    if not isinstance(state, dict) or not set(keys) <= set(state):
        raise _damaged(path)
    return state


def _damaged(path: Path) -> HoldfastError:
    return HoldfastError(
        f"{path}, a training's last state, is cut off or damaged: delete it and run again"
    )
