"""Memory that each job of a run asks its scheduler for: the rules' resource functions.

Where nothing tells a model's shape yet (a hub model that was never fetched), jobs ask for
``UNKNOWN``, which suits models of 7 to 8 billion parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from holdfast.engine import memory as estimate
from holdfast.engine.memory import (
    CONTEXT,
    FLOAT32,
    GIB,
    LIBRARIES,
    MIB,
)
from holdfast.engine.shape import Shape
from holdfast.plan.shapes import shape_of_model
from holdfast.settings.models import ModelSettings
from holdfast.settings.run import Settings

SNAKEMAKE = GIB  # of the processes that run a job's script on a cluster
MARGIN = 1.1


class Memory(NamedTuple):
    """MiB of each of a job's GPUs (0 without any), and of host memory."""

    gpu_mem_mb: int
    mem_mb: int


UNKNOWN = Memory(40 * 1024, 48 * 1024)


@dataclass(frozen=True)
class Resources:
    """What jobs need, by the wildcards of their rules."""

    settings: Settings

    def first_order(self, model: str, arm: str) -> Memory:
        """Training on ``gpus`` ranks; the first holds all float32 states while it writes them."""
        entry, shape = self.settings.arms[arm], self._shape(model)
        if shape is None:
            return UNKNOWN
        ranks = entry.move.processes(self.settings.gpus)
        process = estimate.first_order(shape, entry.move, self.settings.data.max_length, ranks)
        states = FLOAT32 * (1 + entry.move.states) * shape.parameters
        return self._memory(process * ranks, states + shape.weights)

    def zeroth_order(self, model: str, arm: str) -> Memory:
        """Refinement."""
        entry, shape = self.settings.arms[arm], self._shape(model)
        if shape is None:
            return UNKNOWN
        layers = self.settings.layers_moved(entry, shape.layers)
        tokens = self.settings.data.max_length
        return self._memory(estimate.zeroth_order(shape, entry.move, tokens, layers), shape.weights)

    def move(self, model: str) -> Memory:
        """Two models in host memory, and the decomposition of the largest tensor's change."""
        shape = self._shape(model)
        if shape is None:
            return UNKNOWN
        return self._memory(4 * FLOAT32 * shape.vocabulary * shape.hidden, 2 * shape.weights)

    def layer_scores(self, model: str, selection: str) -> Memory:
        """Scoring of layers."""
        shape = self._shape(model)
        if shape is None:
            return UNKNOWN
        settings, tokens = self.settings.selections[selection], self.settings.data.max_length
        return self._memory(estimate.layer_scores(shape, settings, tokens), shape.weights)

    def gap(self, model: str) -> Memory:
        """Robustness gap."""
        shape = self._shape(model)
        if shape is None:
            return UNKNOWN
        tokens = self.settings.data.max_length
        return self._memory(estimate.gap(shape, self.settings.gap, tokens), shape.weights)

    def quantize(self, model: str, perturbation: str) -> Memory:
        """GPTQ, which keeps the model in host memory and works on a copy."""
        shape, entry = self._shape(model), self.settings.perturbations[perturbation]
        if shape is None or entry.calibration is None:
            return UNKNOWN
        need = estimate.quantize(shape, entry.calibration.tokens)
        return self._memory(need, 2 * shape.weights)

    def finetune(self, model: str, perturbation: str) -> Memory:
        """Training of every parameter, by one process."""
        shape, training = self._shape(model), self.settings.perturbations[perturbation].training
        if shape is None or training is None:
            return UNKNOWN
        need = estimate.first_order(shape, training, self.settings.data.max_length)
        states = FLOAT32 * (1 + training.states) * shape.parameters
        return self._memory(need, states + shape.weights)

    def evaluate(self, model: str, perturbations: Iterable[str]) -> Memory:
        """The largest of some perturbations' evaluations."""
        shape = self._shape(model)
        if shape is None:
            return UNKNOWN
        asked = (self.settings.generation, self.settings.utility)
        entries = (self.settings.perturbations[name] for name in perturbations)
        most = max(estimate.evaluate(shape, *asked, entry) for entry in entries)
        return self._memory(most, shape.weights)

    def judge(self, judges: Iterable[str]) -> Memory:
        """The largest of some judges, who read one after the other."""
        models = self.settings.judge_models
        needs = []
        for name in judges:
            if name in models:
                shape = shape_of_model(models[name], self._pocket)
                if shape is None:
                    return UNKNOWN
                entry = self.settings.judges[name]
                size = estimate.judge(shape, entry.rows, entry.most_tokens)
                needs.append((size, shape.weights))
        if not needs:
            return Memory(0, _mib(LIBRARIES + SNAKEMAKE))
        return self._memory(max(size for size, _ in needs), max(host for _, host in needs))

    def files(self, model: str) -> Memory:
        """A model and a copy of it in host memory (exports, ready-made checkpoints)."""
        shape = self._shape(model)
        if shape is None:
            return UNKNOWN
        return Memory(0, _mib(MARGIN * 2 * shape.weights + LIBRARIES + SNAKEMAKE))

    @property
    def _pocket(self) -> ModelSettings | None:
        return next((model for model in self.settings.models.values() if model.pocket), None)

    def _shape(self, model: str) -> Shape | None:
        return shape_of_model(self.settings.models[model], self._pocket)

    def _memory(self, stage: int, host: int) -> Memory:
        """Return the memory of a job that takes ``stage`` bytes where it computes.

        ``host`` is what it takes of host memory beside GPUs.
        """
        gpus = self.settings.gpus
        outside = LIBRARIES + SNAKEMAKE
        if gpus == 0:
            return Memory(0, _mib(MARGIN * stage + outside))
        return Memory(_mib(MARGIN * stage / gpus + CONTEXT), _mib(MARGIN * host + outside))


def _mib(size: float) -> int:
    return math.ceil(size / MIB)
