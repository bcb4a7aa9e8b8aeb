"""Minutes that each job of a run asks its scheduler for: the rules' resource functions.

A cluster ends a job whose time is up, so these are meant to be two to ten times what a job takes: a
start, its tokens at a modest pace, and its files from a slow network disk. Rows of sets whose size
is not in the settings are counted as those of the usual ones. Where nothing tells a model's shape
yet, it is taken for one of 8 billion parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.engine.memory import FLOAT32
from holdfast.engine.shape import Shape
from holdfast.plan.shapes import shape_of_model
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbations import Perturbation
from holdfast.settings.run import Settings
from holdfast.settings.stages import FirstOrder

START_S = 15 * 60  # imports, a model to the device, and what small models take in all
DISK = 2e8  # bytes a second
# A sixth of an A100's peak in 16 bits, a quarter of it in float32; a third of its memory's.
CARD_16, CARD_32, CARD_MEMORY = 5e13, 5e12, 5e11
PROCESSOR, PROCESSOR_MEMORY = 1e10, 5e9  # of one thread
NOISE_BYTES = 16  # read and written for a weight that is moved by noise and moved back
DECOMPOSITION = 400  # operations an element and column of a tensor, far from the peak
GPTQ_COLUMN_S = 5e-4  # quantizing one input column of a linear module
ROWS = 500  # HarmBench has 400
PROMPT_TOKENS = 256  # of a behavior with its context, the mean
BATCH = 16  # what `auto` finds at least
TEXT_TOKENS = 350_000  # of WikiText-2's test split
TASK_TOKENS = 1_500_000  # of an lm-eval task, the mean of the paper's; MMLU has 7 million
LINEARS = ("hidden",) * 6 + ("inner",)  # inputs of a layer's linear modules
TYPICAL = Shape(32, 4096, 14336, 32, 8, 128, 128256, tied=False, biased=False, item=2)  # Llama-3-8B


@dataclass(frozen=True)
class Runtime:
    """What jobs need, in whole minutes, by the wildcards of their rules."""

    settings: Settings

    def first_order(self, model: str, arm: str) -> int:
        """Training; over several cards where it is not of a smoothed loss."""
        move = self.settings.arms[arm].move
        return self._training(model, move, move.processes(self.settings.gpus))

    def finetune(self, model: str, perturbation: str) -> int:
        """Training of every parameter, and a checkpoint a level."""
        entry = self.settings.perturbations[perturbation]
        saves = len(entry.cells) * self._load(self._shape(model))
        assert entry.training
        return self._training(model, entry.training) + math.ceil(saves / 60)

    def factors(self, model: str) -> int:
        """Decomposition of what every tensor changed by."""
        shape = self._shape(model)
        work = DECOMPOSITION * shape.hidden * shape.parameters
        speed = CARD_32 if self.settings.gpus else PROCESSOR
        return self.files(model) + math.ceil(work / speed / 60)

    def _training(self, model: str, move: FirstOrder, ranks: int = 1) -> int:
        """Passes (a forward and a backward one, or two forward) and checkpoints."""
        shape = self._shape(model)
        rows = move.steps * move.batch_size * move.gradient_accumulation
        work = move.passes * self._pass(shape, rows * self.settings.data.max_length)
        if move.compute == "float32" and shape.item != FLOAT32:
            work *= CARD_16 / CARD_32
        states = FLOAT32 * (1 + move.states) * shape.parameters
        saves = move.steps // move.save_every + 1
        return _minutes(work / ranks + saves * states / DISK)

    def zeroth_order(self, model: str, arm: str) -> int:
        """Refinement: two losses a direction, for which every weight that moves is moved."""
        shape, move = self._shape(model), self.settings.arms[arm].move
        tokens = move.batch_size * self.settings.data.max_length
        loss = self._pass(shape, tokens) + NOISE_BYTES * shape.parameters / self._memory
        return _minutes(move.steps * (2 * move.directions + 1) * loss + self._load(shape))

    def layer_scores(self, model: str, selection: str) -> int:
        """Scoring of one job's layers."""
        shape, entry = self._shape(model), self.settings.selections[selection]
        a_pass = self._pass(shape, entry.pairs * self.settings.data.max_length)
        return _minutes(entry.passes(shape.layers) * a_pass + self._load(shape))

    def gap(self, model: str) -> int:
        """Losses on both sides of every draw, and gradients of copies, a pass of which is four."""
        shape, entry = self._shape(model), self.settings.gap
        loss = self._pass(shape, entry.samples * self.settings.data.max_length)
        moving = NOISE_BYTES * shape.parameters / self._memory
        losses = 2 * entry.draws * len(entry.rho) * (loss + moving)
        gradients = entry.gradient_copies * (len(entry.rho) + 1) * (4 * loss + 2 * moving)
        return _minutes(losses + gradients + self._load(shape))

    def quantize(self, model: str, perturbation: str) -> int:
        """GPTQ at every level: two passes, the Hessians, and a column after the other."""
        shape, entry = self._shape(model), self.settings.perturbations[perturbation]
        tokens = math.prod(entry.calibration or (0,))
        columns = shape.layers * sum(getattr(shape, width) for width in LINEARS)
        level = 4 * self._pass(shape, tokens) + GPTQ_COLUMN_S * columns + self._load(shape)
        return _minutes(len(entry.cells) * level + self._load(shape))

    def evaluate(self, model: str, perturbations: Iterable[Perturbation]) -> int:
        """Completions, perplexity and accuracy of every level and draw."""
        shape, cells = self._shape(model), sum(len(entry.cells) for entry in perturbations)
        cell = self._completions(shape) + self._load(shape)
        cell += NOISE_BYTES * shape.parameters / self._memory
        tasks = self.settings.utility.lm_eval.tasks.values()
        questions = sum(1 if task.data is None else 0.1 for task in tasks)  # local ones are small
        cell += self._pass(shape, TEXT_TOKENS + questions * TASK_TOKENS)
        return _minutes(cells * cell)

    def points(self, model: str, points: int, perturbations: Iterable[Perturbation]) -> int:
        """Validation of some points of a sweep: made again, then completions and losses."""
        shape = self._shape(model)
        cells = 1 + sum(len(entry.cells) for entry in perturbations)
        validation = self.settings.data.validation
        pairs = (validation.pairs.limit if validation else 0) * self.settings.data.max_length
        losses = (self.settings.sweeps.draws + 1) * self._pass(shape, pairs)
        return _minutes(points * (cells * self._completions(shape) + losses + self._load(shape)))

    def judge(self, judges: Iterable[str], perturbations: Iterable[Perturbation]) -> int:
        """Verdicts of some judges, one after the other."""
        rows = self._rows * sum(len(entry.cells) for entry in perturbations)
        seconds = 0.0
        for name in judges:
            if name in self.settings.judge_models:
                shape = self._shape_of(self.settings.judge_models[name])
                tokens = rows * self.settings.judges[name].mean_tokens
                seconds += self._pass(shape, tokens) + self._load(shape)
        return _minutes(seconds)

    def files(self, model: str) -> int:
        """Fetching, reading or writing all of a model's weights, a few times over."""
        return _minutes(6 * self._load(self._shape(model)))

    @property
    def _rows(self) -> int:
        """Prompts that are completed under each perturbation."""
        data = self.settings.data
        return (data.behaviors.limit or ROWS) + (data.benign.limit or ROWS)

    @property
    def _memory(self) -> float:
        return CARD_MEMORY if self.settings.gpus else PROCESSOR_MEMORY

    def _completions(self, shape: Shape) -> float:
        """Seconds for greedy completions: prompts, then a token after the other."""
        rows, new = self._rows, self.settings.generation.max_new_tokens
        size = self.settings.generation.batch_size
        batches = math.ceil(rows / (BATCH if size == "auto" else size))
        reads = batches * new * shape.weights / self._memory
        return self._pass(shape, rows * (PROMPT_TOKENS + new)) + reads

    def _pass(self, shape: Shape, tokens: float) -> float:
        """Seconds for a forward pass: two operations a parameter and token."""
        card = CARD_32 if shape.item == FLOAT32 else CARD_16
        return 2 * shape.parameters * tokens / (card if self.settings.gpus else PROCESSOR)

    def _load(self, shape: Shape) -> float:
        return shape.weights / DISK

    def _shape(self, model: str) -> Shape:
        return self._shape_of(self.settings.models[model])

    def _shape_of(self, model: ModelSettings) -> Shape:
        pocket = next((model for model in self.settings.models.values() if model.pocket), None)
        return shape_of_model(model, pocket) or TYPICAL


def _minutes(seconds: float) -> int:
    return math.ceil((START_S + seconds) / 60)
