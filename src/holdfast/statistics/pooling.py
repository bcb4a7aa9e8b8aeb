"""One arm's training seeds as one summary, whose draws are grouped into repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from holdfast.errors import HoldfastError

Draws = Literal["random", "fixed"]


def pool(summaries: Sequence[Mapping[str, Any]], draws: Draws = "random") -> dict[str, Any]:
    """Merge the summaries of one arm's seeds.

    Returns a summary whose ``seed`` became ``seeds``, and whose cells have every seed's draws in a
    row and ``repeats``: into how many equal groups statistics part them, as a level of their own.
    These are the training seeds (whose noise draws are their own); with one seed the draws, where
    they are ``random``; and otherwise one, so that everything is given the draws.

    Raises HoldfastError when the summaries differ in behaviors, metrics, cells or draws.
    """
    first = summaries[0]
    cells = {(cell["perturbation"], cell["level"]): dict(cell) for cell in first["cells"]}
    draws_of = {key: cell["draws"] for key, cell in cells.items()}
    for other in summaries[1:]:
        theirs = {(cell["perturbation"], cell["level"]): cell for cell in other["cells"]}
        for field, same in (
            ("behaviors", first["behaviors_sha256"] == other["behaviors_sha256"]),
            ("metrics", first["metrics"] == other["metrics"]),
            ("perturbations and levels", set(cells) == set(theirs)),
            ("numbers of draws", draws_of == {key: cell["draws"] for key, cell in theirs.items()}),
        ):
            if not same:
                raise HoldfastError(
                    f"{first['model']}/{first['arm']}: seeds {first['seed']} and {other['seed']} "
                    f"were tested on different {field}: delete the older and run again"
                )
        cells = {key: _join(cell, theirs[key]) for key, cell in cells.items()}
    seeds = len(summaries)
    for cell in cells.values():
        cell["repeats"] = cell["draws"] if seeds == 1 and draws == "random" else seeds
    pooled = {key: value for key, value in first.items() if key != "seed"}
    return pooled | {
        "seeds": [summary["seed"] for summary in summaries],
        "meaningless": any(summary["meaningless"] for summary in summaries),
        "cells": list(cells.values()),
    }


def _join(cell: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    joined = {**cell, "draws": cell["draws"] + other["draws"]}
    joined["noise_seeds"] = [*cell.get("noise_seeds", []), *other.get("noise_seeds", [])]
    joined["outcomes"] = {
        name: [*draws, *other["outcomes"][name]] for name, draws in cell["outcomes"].items()
    }
    if "perplexity" in cell:
        joined["perplexity"] = [*cell["perplexity"], *other["perplexity"]]
    if "lm_eval" in cell:
        joined["lm_eval"] = {
            task: {**entry, "scores": [*entry["scores"], *other["lm_eval"][task]["scores"]]}
            for task, entry in cell["lm_eval"].items()
        }
    return joined
