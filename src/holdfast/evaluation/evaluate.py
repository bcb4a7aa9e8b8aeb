"""One arm under one perturbation: completions, perplexity and accuracy of every cell."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel
from torch import Tensor

from holdfast.arms.load import load_arm
from holdfast.checkpoints.load import Loaded
from holdfast.checkpoints.placement import free_cards
from holdfast.data.outputs import (
    LARGE_BOS_SHARE,
    Answered,
    CompletionRow,
    ItemScores,
    UtilityCell,
    UtilityFile,
    Windows,
)
from holdfast.engine.decoding import decodes_from_cache
from holdfast.engine.generation import Completion
from holdfast.evaluation.completions import complete, read_prompts, text_digest
from holdfast.evaluation.lm_eval import LmEval
from holdfast.evaluation.perplexity import bos_share, window_nll, windows
from holdfast.files.atomic import read_json, sha256, write_json, write_jsonl
from holdfast.files.journal import Journal
from holdfast.files.manifest import artifact_hash
from holdfast.perturbations.registry import perturb
from holdfast.plan import QUANTIZED
from holdfast.progress import track
from holdfast.settings.evaluation import Generation, Utility
from holdfast.settings.perturbation import noise_seed
from holdfast.settings.perturbations import Perturbation
from holdfast.text import tell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Measured(NamedTuple):
    """What is measured of a cell: the answer to each prompt, perplexity, and accuracy by task."""

    texts: list[Answered]
    perplexity: Windows
    lm_eval: dict[str, ItemScores]


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
        self._text = perplexity
        self._tasks = tasks
        self._cut: tuple[PreTrainedTokenizerBase, Tensor] | None = (
            None  # windows, and the tokenizer that cut them
        )

    def evaluate(
        self, load: Callable[[], AbstractContextManager[Loaded]], journal: Journal, cell: str
    ) -> Measured:
        """Measure a cell.

        What ``journal`` holds is not computed again: of a cell only new prompts, for one. ``load``
        gives the live model, perturbed while it is held; it is not called where nothing is missing.
        """
        texts = [prompt.key(cell) for prompt in self.prompts]
        perplexity = self._key(cell, "perplexity", self.utility.perplexity, [self._text])
        lm_eval = self._key(cell, "lm_eval", self.utility.lm_eval, self._tasks.values())
        measures: dict[str, Callable[[Loaded], object]] = {
            perplexity: self._perplexity,
            lm_eval: self._accuracy,
        }
        wanted = [*texts, *measures]
        if any(key not in journal for key in wanted):
            with load() as live:
                complete(live, self.prompts, self.generation, journal, cell, Answered, _answered)
                for key, measure in measures.items():
                    if key not in journal:
                        journal.append(key, measure(live))
        return Measured(
            [journal.read(key, Answered) for key in texts],
            journal.read(perplexity, Windows),
            journal.read(lm_eval, dict[str, ItemScores]),
        )

    def _key(self, cell: str, name: str, settings: BaseModel, files: Iterable[Path]) -> str:
        read = [artifact_hash(path) for path in files]
        return json.dumps([cell, name, settings.model_dump(mode="json"), read])

    def _perplexity(self, loaded: Loaded) -> Windows:
        settings, tokenizer = self.utility.perplexity, loaded.tokenizer
        new = self._cut is None or self._cut[0] is not tokenizer
        if self._cut is None or new:
            rows = read_json(self._text)
            self._cut = tokenizer, windows(tokenizer, rows, settings.window, settings.bos)
        ids = self._cut[1]
        result = window_nll(loaded.model, ids, settings.batch_size)
        if settings.bos:
            return result
        share = bos_share(loaded.model, tokenizer, ids)
        if new and share is not None and share > LARGE_BOS_SHARE:
            tell(
                f"perplexity: {tokenizer.bos_token} before a window lowers its NLL by {share:.0%}:"
                " this model needs it, so set utility.perplexity.bos: true"
            )
        return result.model_copy(update={"bos_share": share})

    def _accuracy(self, loaded: Loaded) -> dict[str, ItemScores]:
        return self._lm_eval.evaluate(loaded.model, loaded.tokenizer)

    @functools.cached_property
    def _lm_eval(self) -> LmEval:
        return LmEval(self.utility.lm_eval, self._tasks)


def _answered(completion: Completion) -> Answered:
    return Answered(
        completion=completion.text, tokens=completion.tokens, finished=completion.finished
    )


def evaluate(
    evaluation: Evaluation,
    perturbation: Perturbation,
    *,
    arm: Path,
    weights: str,
    seed: int,
    journal: Journal,
    folder: Path,
) -> None:
    """Evaluate every (level, draw) cell and write completions.jsonl and utility.json.

    A cell is known by the settings of its level and, where its weights are stored, by their hash;
    so a run that has more levels, draws or prompts than the last computes those alone.

    Args:
        arm: weights folder of the arm.
        weights: digest of the arm's weights, which utility.json names.
        seed: training seed of the arm; with the draw it keys the noise.
        journal: keeps finished pieces; only what it lacks is computed.
        folder: where the files go; it holds the quantized copies by level, where there are any.
    """
    rows: list[CompletionRow] = []
    cells: list[UtilityCell] = []
    for level, draw in track(perturbation.cells, f"cells of {perturbation.kind}"):

        @contextmanager
        def live(level: str = level, draw: int = draw) -> Iterator[Loaded]:
            loaded = _quantized(arm, folder, level) if perturbation.stored else _live(arm)
            decodes_from_cache(loaded.model)  # asked of the weights as they are, without noise
            with perturb(loaded.model, perturbation, level, noise_seed(seed, draw)):
                yield loaded

        copy = sha256(folder / QUANTIZED / level) if perturbation.stored else None
        identity = [perturbation.at(level), noise_seed(seed, draw), copy]
        cell = text_digest(json.dumps(identity, sort_keys=True))
        texts, perplexity, lm_eval = evaluation.evaluate(live, journal, cell)
        rows.extend(
            CompletionRow(level=level, draw=draw, set=kind, id=name, **dict(text))
            for (kind, name, _), text in zip(evaluation.prompts, texts, strict=True)
        )
        cells.append(UtilityCell(level=level, draw=draw, perplexity=perplexity, lm_eval=lm_eval))
    write_jsonl(folder / "completions.jsonl", rows)
    write_json(folder / "utility.json", UtilityFile(weights=weights, cells=cells))


def weights_digest(lineage: Sequence[str]) -> str:
    """Return what tells the weights of an arm, loaded from these folders, from other weights."""
    return text_digest(json.dumps([artifact_hash(folder) for folder in lineage]))


def cell_journal(scratch: Path, perturbation: str, weights: str, generation: object) -> Journal:
    """Return the journal of an arm's cells under a perturbation; ``scratch`` is the arm's.

    What else a cell depends on is in its keys, so that new cells find the others. It begins with
    that of another arm of the same weights, where there is one.
    """
    header = {"weights": weights, "generation": generation}
    name = f"{perturbation}.jsonl"
    return Journal(scratch / name, header, scratch.parents[1].glob(f"*/{scratch.name}/{name}"))


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
