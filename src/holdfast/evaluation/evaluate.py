"""One arm under one perturbation: completions, perplexity and accuracy of every cell."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from holdfast.arms.load import load_arm
from holdfast.checkpoints.load import Loaded
from holdfast.checkpoints.placement import free_cards
from holdfast.engine.generation import Completion
from holdfast.evaluation.completions import complete, read_prompts
from holdfast.evaluation.lm_eval import LmEval
from holdfast.evaluation.perplexity import window_nll, windows
from holdfast.files.atomic import read_json, write_json, write_jsonl
from holdfast.files.journal import Journal
from holdfast.perturbations.registry import perturb
from holdfast.plan import QUANTIZED
from holdfast.progress import track
from holdfast.settings.evaluation import Generation, Utility
from holdfast.settings.perturbation import noise_seed
from holdfast.settings.perturbations import Perturbation


class Evaluation:
    """What is asked of every cell: prompts, a text and multiple-choice tasks."""

    def __init__(
        self,
        generation: Generation,
        utility: Utility,
        *,
        behaviors: Path,
        benign: Path,
        perplexity: Path,
        tasks: Mapping[str, Path],
    ) -> None:
        self.generation = generation
        self.utility = utility
        self.prompts = read_prompts(behaviors, benign)
        self._rows = read_json(perplexity)
        self._windows: Tensor | None = None
        self._lm_eval = LmEval(utility.lm_eval, tasks)

    def complete(self, loaded: Loaded, journal: Journal, cell: str) -> list[dict[str, Any]]:
        """Complete every prompt greedily, going on from what ``journal`` holds of this cell.

        Returns ``{"completion", "tokens", "finished"}`` for each prompt.
        """
        return complete(loaded, self.prompts, self.generation, journal, cell, _row)

    def measure(self, loaded: Loaded) -> dict[str, Any]:
        """Return the ``perplexity`` and ``lm_eval`` entries of a cell."""
        settings = self.utility.perplexity
        if self._windows is None:
            self._windows = windows(loaded.tokenizer, self._rows, settings.window)
        return {
            "perplexity": window_nll(loaded.model, self._windows, settings.batch_size),
            "lm_eval": self._lm_eval.evaluate(loaded.model, loaded.tokenizer),
        }


def _row(completion: Completion) -> dict[str, Any]:
    row = {"tokens": completion.tokens, "finished": completion.finished}
    return {"completion": completion.text, **row}


def evaluate(
    evaluation: Evaluation,
    perturbation: Perturbation,
    *,
    arm: Path,
    seed: int,
    journal: Journal,
    folder: Path,
) -> None:
    """Evaluate every (level, draw) cell and write completions.jsonl and utility.json.

    Args:
        arm: weights folder of the arm.
        seed: training seed of the arm; with the draw it keys the noise.
        journal: keeps finished pieces; only what it lacks is computed.
        folder: where the files go; it holds the quantized copies by level, where there are any.
    """
    rows: list[dict[str, Any]] = []
    cells: list[dict[str, Any]] = []
    for level, draw in track(perturbation.cells, f"cells of {perturbation.kind}"):
        cell = f"{level}/{draw}"
        if cell not in journal:
            live = _quantized(arm, folder, level) if perturbation.stored else _live(arm)
            with perturb(live.model, perturbation, level, noise_seed(seed, draw)):
                texts = evaluation.complete(live, journal, cell)
                journal.append(cell, {"texts": texts, **evaluation.measure(live)})
            del live  # before the next copy is loaded
        finished = journal[cell]
        rows.extend(
            {"level": level, "draw": draw, "set": kind, "id": name} | text
            for (kind, name, _), text in zip(evaluation.prompts, finished["texts"], strict=True)
        )
        measured = {name: finished[name] for name in ("perplexity", "lm_eval")}
        cells.append({"level": level, "draw": draw} | measured)
    write_jsonl(folder / "completions.jsonl", rows)
    write_json(folder / "utility.json", {"cells": cells})


@functools.lru_cache(maxsize=1)
def _live(arm: Path) -> Loaded:
    """Load an arm once a process; perturbations leave the model as it was, from a copy of it."""
    return load_arm(arm, needs=lambda shape: 2 * shape.weights)


def _quantized(arm: Path, folder: Path, level: str) -> Loaded:
    """Return the arm's quantized copy of a level, with its own tokenizer where it has one."""
    from holdfast.perturbations.checkpoint import load_copy

    if free_cards():
        _live.cache_clear()  # no room for two
    return load_copy(folder / QUANTIZED / level, arm)
