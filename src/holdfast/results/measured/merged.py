"""Summaries of one arm under one perturbation each, put together as its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.errors import HoldfastError

WHOSE = ("model", "arm", "seed")
SAME = ("behaviors", "behaviors_sha256", "dtype", "schema", "weights")


def merged(files: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the content of a table's files, with the summaries of an arm and seed as one.

    Its cells are in the order of the files; its metrics are those that every part has. Files of
    other kinds are left as they are, and all keep the order of their first mention.

    Raises:
        HoldfastError: the parts are of different weights or behaviors.
    """
    parts: dict[Any, list[Mapping[str, Any]]] = {}
    for place, content in enumerate(files):
        is_summary = "metrics" in content and "cells" in content
        whose = tuple(content[key] for key in WHOSE) if is_summary else place
        parts.setdefault(whose, []).append(content)
    return [_whole(some) if len(some) > 1 else some[0] for some in parts.values()]


def _whole(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = parts[0]
    for part in parts[1:]:
        for key in SAME:
            if part[key] != first[key]:
                model, arm, seed = (first[name] for name in WHOSE)
                raise HoldfastError(
                    f"{model}/{arm}/seed{seed}: the summaries under its perturbations are of"
                    f" different {key}: run it again"
                )
    metrics = {
        name: entry
        for name, entry in first["metrics"].items()
        if all(name in part["metrics"] for part in parts)
    }
    cells = [cell for part in parts for cell in part["cells"]]
    return {
        **first,
        "metrics": metrics,
        "cells": cells,
        "meaningless": any(part["meaningless"] for part in parts),
    }
