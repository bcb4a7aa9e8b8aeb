"""Base models and judges' models: what they are made from, and what their jobs ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.plan.data import DataPlan
from holdfast.plan.paths import Paths
from holdfast.plan.stages import params
from holdfast.settings.models import ModelSettings
from holdfast.settings.run import Settings


@dataclass(frozen=True)
class ModelPlan:
    """The checkpoints that a run starts from."""

    settings: Settings
    paths: Paths
    data: DataPlan

    def judge(self, judge: str) -> list[str]:
        """Folder of a judge's model; none for a judge that needs no model."""
        return [self.paths.judge(judge)] if judge in self.settings.judge_models else []

    def inputs(self, model: ModelSettings) -> list[str]:
        """What a model that the run makes itself is made from."""
        if model.pocket:
            return [self.paths.world]
        if model.pocket_judge:
            return [self.paths.world, self.paths.base(self._pocket_base)]
        if model.scratch:
            return [self.data.path(name) for name in ("perplexity", "alignment", "behaviors")]
        return []

    def params(self, model: ModelSettings) -> str:
        """Version and settings of a model, and what the folder of the user's is that it is."""
        return params("model", model, *self.data.outside.models([model]))

    def only_fetched(self, models: Mapping[str, ModelSettings]) -> bool:
        """Whether the jobs of these models fetch or read them and make none."""
        return all(model.hub or model.path for model in models.values())

    def gpus_to_make(self, model: ModelSettings) -> int:
        """GPUs that the job of a model asks for: none to fetch it, those of a job to train it."""
        return 0 if model.hub or model.path else self.settings.gpus

    def layers(self, model: str) -> int:
        """Number of decoder layers of a model."""
        count = self.settings.models[model].layer_count
        assert count is not None
        return count

    @property
    def _pocket_base(self) -> str:
        return next(name for name, model in self.settings.models.items() if model.pocket)
