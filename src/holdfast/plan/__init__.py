"""The plan of a run: which files it makes from which, as paths. The rules read it."""

from __future__ import annotations

from holdfast.plan.arms import ArmPlan
from holdfast.plan.data import DataPlan
from holdfast.plan.evaluation import QUANTIZED, EvaluationPlan
from holdfast.plan.gap import GapPlan
from holdfast.plan.judging import JudgePlan
from holdfast.plan.layers import LayerPlan
from holdfast.plan.models import ModelPlan
from holdfast.plan.outside import Outside
from holdfast.plan.paths import At, Paths
from holdfast.plan.resources import Resources
from holdfast.plan.results import ResultPlan
from holdfast.plan.runtime import Runtime
from holdfast.plan.stages import any_of, params
from holdfast.plan.sweeps import SweepPlan
from holdfast.settings.run import Settings

__all__ = ["QUANTIZED", "At", "Plan"]


class Plan:
    """Everything that rules ask for, a part a stage; each part stands on those before it."""

    params = staticmethod(params)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.paths = Paths(f"results/{settings.run}")
        self.data = DataPlan(settings, self.paths, Outside())
        self.models = ModelPlan(settings, self.paths, self.data)
        self.arms = ArmPlan(settings, self.paths)
        every = settings.model_copy(update={"arms": self.arms.entries})
        self.memory, self.runtime = Resources(every), Runtime(every)
        self.layers = LayerPlan(settings, self.paths, self.models, self.arms)
        self.gaps = GapPlan(settings, self.paths)
        asks = (self.memory, self.runtime)
        self.evaluation = EvaluationPlan(settings, self.paths, self.data, self.arms, *asks)
        self.judging = JudgePlan(settings, self.paths, self.models, self.evaluation, *asks)
        self.sweeps = SweepPlan(settings, self.paths, self.data, self.arms, *asks)
        self.results = ResultPlan(
            settings, self.paths, self.data, self.evaluation, self.gaps, self.sweeps
        )

    def names(self, catalogue: str) -> str:
        """Return a regular expression of a catalogue's entries."""
        return any_of(getattr(self.settings, catalogue))

    def gpu_model(self, gpus: int) -> str | None:
        """Kind of GPU that a job with ``gpus`` of them asks a cluster for; None: any, or none."""
        return self.settings.gpu_model if gpus else None
