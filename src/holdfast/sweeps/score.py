"""Score the points of a sweep on validation data: loss, robustness gap, ASR and over-refusal."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import JsonValue

from holdfast.arms.load import apply_move, load_arm
from holdfast.arms.replay_log import REPLAY_LOG
from holdfast.checkpoints.load import Loaded
from holdfast.data.outputs import PromptSet
from holdfast.engine.batches import Batch, encode_pairs, make_batches
from holdfast.engine.generation import Completion
from holdfast.engine.loss import response_loss
from holdfast.engine.parameters import put_noise, restored
from holdfast.errors import Diverged
from holdfast.evaluation.completions import complete, read_prompts
from holdfast.files.atomic import (
    read_jsonl,
    sha256,
    write_json,
)
from holdfast.files.journal import Journal
from holdfast.files.manifest import artifact_hash
from holdfast.gap.measure import PURPOSE
from holdfast.judges.refusal_prefix import refuses
from holdfast.numerics.stream import key
from holdfast.perturbations.registry import perturb
from holdfast.progress import track
from holdfast.settings.evaluation import Generation
from holdfast.settings.perturbation import noise_seed
from holdfast.settings.perturbations import Perturbation, Unperturbed
from holdfast.settings.sweeps import SweepSettings
from holdfast.sweeps.diverged import require_weights
from holdfast.sweeps.validation import (
    DivergedPoint,
    LossAndGaps,
    OfPoint,
    ScoredPoint,
    Scores,
    ValidationCell,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VALIDATION_DRAW = 500  # the first draw of validation's noise: no reported number meets it


@dataclass(frozen=True)
class Scoring:
    """What is asked of every point."""

    sweep: SweepSettings
    generation: Generation
    perturbations: Mapping[str, Perturbation]
    max_length: int
    pairs: Path
    behaviors: Path
    benign: Path


class Points:
    """The points of a sweep, one at a time in memory; what is replayed shares one parent."""

    def __init__(self, parent: Path) -> None:
        self._parent: Loaded | None = load_arm(parent)
        parameters = self._parent.model.named_parameters()
        self._before = {name: p.detach().to("cpu", copy=True) for name, p in parameters}

    @contextmanager
    def at(self, weights: Path) -> Iterator[tuple[Loaded, float]]:
        """Yield the arm in folder ``weights`` and the Euclidean norm of its move.

        Raises:
            Diverged: training did, or the move is no finite number.
        """
        require_weights(weights)
        if not (weights / REPLAY_LOG).exists():
            self._parent = None  # makes room
            loaded = load_arm(weights)
            yield loaded, self._move(loaded.model)
            return
        assert self._parent is not None
        model = self._parent.model
        try:
            apply_move(model, weights)
            yield self._parent, self._move(model)
        finally:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(self._before[name])

    def _move(self, model: PreTrainedModel) -> float:
        squares = [
            float((parameter.detach().cpu().float() - self._before[name].float()).square().sum())
            for name, parameter in model.named_parameters()
        ]
        move = math.sqrt(math.fsum(squares))
        if not math.isfinite(move):
            raise Diverged(f"its weights moved by {move}")
        return move


@torch.no_grad()
def robustness_gap(
    model: PreTrainedModel, batches: Sequence[Batch], rho: float, draws: int, seed: int
) -> tuple[float, list[float]]:
    """Return f(theta) and, draw by draw, f(theta + rho v) - f(theta), in nats a response token.

    v is standard normal over all parameters and depends on seed, draw and parameter name alone, so
    that all points of a sweep meet the same draws. The model is left as it was, bit for bit.
    """
    base = response_loss(model, batches)
    gaps = []
    parameters = dict(model.named_parameters())
    with restored(parameters) as kept:
        for draw in range(draws):
            put_noise(parameters, kept, rho, key(seed, PURPOSE, direction=draw))
            gaps.append(response_loss(model, batches) - base)
    return base, gaps


def score_points(
    scoring: Scoring,
    *,
    model: str,
    arm: str,
    seed: int,
    parent: Sequence[Path],
    points: Mapping[str, dict[str, JsonValue]],
    weights: Sequence[Path],
    out: Sequence[Path],
    scratch: Path,
) -> None:
    """Score every point and write its validation.json; a killed job goes on from ``scratch``.

    ``parent`` holds the weights folders that loading the points' parent reads, its own first;
    ``points`` are the values by name, and ``weights`` and ``out`` follow their order. Of a point
    that diverged, in its stage or by its loss here, the file says so.
    """
    header = {
        "inputs": [artifact_hash(path) for path in (*parent, *weights)],
        "data": [sha256(path) for path in (scoring.pairs, scoring.behaviors, scoring.benign)],
        "settings": [
            part.model_dump(mode="json")
            for part in (scoring.sweep, scoring.generation, *scoring.perturbations.values())
        ],
    }
    journal = Journal(scratch / "points.jsonl", header)
    loading = Points(parent[0])
    pieces = list(zip(points, weights, out, strict=True))
    for point, folder, path in track(pieces, "points of the sweep"):
        about = OfPoint(model=model, arm=arm, seed=seed, point=point, values=points[point])
        try:
            with loading.at(folder) as (loaded, move):
                scores = _score(scoring, loaded, move, journal, point, seed)
            write_json(path, ScoredPoint(**dict(about), **dict(scores)))
        except Diverged as error:
            write_json(path, DivergedPoint(**dict(about), diverged=str(error)))
    shutil.rmtree(scratch, ignore_errors=True)


def _score(
    scoring: Scoring, loaded: Loaded, move: float, journal: Journal, point: str, seed: int
) -> Scores:
    sweep, mark = scoring.sweep, json.dumps([point, "gap"])
    if mark not in journal:
        examples = encode_pairs(loaded.tokenizer, read_jsonl(scoring.pairs), scoring.max_length)
        batches = make_batches(examples, sweep.batch_size)
        loss, gaps = robustness_gap(loaded.model, batches, sweep.rho, sweep.draws, seed)
        if not math.isfinite(loss):
            raise Diverged(f"the validation loss is {loss}")
        if not all(map(math.isfinite, gaps)):
            raise Diverged(
                f"the validation loss under noise (sweeps.rho: {sweep.rho:g}) is no finite number"
            )
        journal.append(mark, LossAndGaps(loss=loss, gaps=gaps))
    cells: dict[tuple[str, str], list[str]] = {}
    over_refusal = ""
    for name, settings in {"none": Unperturbed(kind="none"), **scoring.perturbations}.items():
        for level, draw in settings.cells:
            noise = noise_seed(seed, VALIDATION_DRAW + draw)
            with perturb(loaded.model, settings, level, noise):
                cell = f"{point}/{name}/{level}/{draw}"
                refused = _refused(scoring, loaded, journal, cell, benign=name == "none")
            outcome = "".join("01"[not refusal] for refusal in refused["behaviors"])
            cells.setdefault((name, level), []).append(outcome)
            over_refusal = over_refusal or "".join("01"[refusal] for refusal in refused["benign"])
    return Scores(
        **dict(journal.read(mark, LossAndGaps)),
        move=move,
        rho=sweep.rho,
        behaviors_sha256=sha256(scoring.behaviors),
        over_refusal=over_refusal,
        cells=[
            ValidationCell(perturbation=name, level=level, draws=len(draws), outcomes=draws)
            for (name, level), draws in cells.items()
        ],
    )


def _refused(
    scoring: Scoring, loaded: Loaded, journal: Journal, cell: str, *, benign: bool
) -> dict[PromptSet, list[bool]]:
    """Complete the validation prompts greedily; return, set by set, which answers refuse."""

    def judge(completion: Completion) -> bool:
        return refuses(completion.text, scoring.sweep.prefixes)

    prompts = read_prompts(scoring.behaviors, scoring.benign)
    asked = [prompt for prompt in prompts if benign or prompt.kind == "behaviors"]
    verdicts = complete(loaded, asked, scoring.generation, journal, cell, bool, judge)
    refused: dict[PromptSet, list[bool]] = {"behaviors": [], "benign": []}
    for prompt, refusal in zip(asked, verdicts, strict=True):
        refused[prompt.kind].append(refusal)
    return refused
