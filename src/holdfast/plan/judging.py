"""Verdicts: which judges read the completions of an arm, and in which jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.plan.evaluation import EvaluationPlan
from holdfast.plan.models import ModelPlan
from holdfast.plan.paths import At, Paths, Wildcards
from holdfast.plan.resources import Memory, Resources
from holdfast.plan.runtime import Runtime
from holdfast.plan.stages import groups, params
from holdfast.settings.run import Settings


@dataclass(frozen=True)
class JudgePlan:
    """What is said of every completion."""

    settings: Settings
    paths: Paths
    models: ModelPlan
    evaluation: EvaluationPlan
    memory: Resources
    runtime: Runtime

    @property
    def jobs(self) -> list[JudgeJob]:
        """The jobs that judge an arm: one per ``judges_per_job`` judges."""
        names, size = list(self.settings.judges), self.settings.judges_per_job
        return [JudgeJob(self, number, group) for number, group in enumerate(groups(names, size))]

    def verdicts(self, w: Wildcards) -> list[str]:
        """Verdicts on an arm, one file per judge."""
        return [self.paths.file(w, f"verdicts/{judge}.jsonl") for judge in self.settings.judges]

    def summary_params(self, w: Wildcards) -> str:
        """Version of the summary, what judges are called, and what the arm was put under."""
        perturbed = self.evaluation.perturbed(w.arm, w.model)
        return params("summary", self.labels, perturbed)

    @property
    def labels(self) -> dict[str, str]:
        """What each judge's attack success rate is called."""
        return {name: judge.label or name for name, judge in self.settings.judges.items()}

    @property
    def compared(self) -> list[At]:
        """Arms on which the embedded world's judges are compared with its oracle.

        Those of its model that some table or figure shows.
        """
        return [
            At(model, arm, seed)
            for model, settings in self.settings.models.items()
            if settings.pocket
            for arm in self.settings.arms
            if self.evaluation.perturbations(arm, model)
            for seed in self.settings.seeds
        ]

    def compared_completions(self) -> list[str]:
        """Completions of those arms."""
        return [path for at in self.compared for path in self.evaluation.completions(at)]

    def compared_verdicts(self, w: Any) -> list[str]:
        """A judge's verdicts on those completions."""
        return [self.paths.file(at, f"verdicts/{w.judge}.jsonl") for at in self.compared]

    def agreement_params(self, w: Any) -> str:
        """Version and settings of the comparison, and the perturbations of each arm."""
        names = [self.evaluation.perturbations(at.arm, at.model) for at in self.compared]
        return params("agreement", self.settings.judges[w.judge], names)


@dataclass(frozen=True)
class JudgeJob:
    """Some judges, who read an arm's completions in one process; methods take the wildcards."""

    plan: JudgePlan
    number: int
    judges: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"judge_{self.number}"

    @property
    def memory(self) -> Memory:
        """Memory that the job needs."""
        return self.plan.memory.judge(self.judges)

    @property
    def gpus(self) -> int:
        """GPUs that the job asks for: none where no judge has a model."""
        return self.plan.settings.gpus * bool(self.models)

    def mem_mb(self, wildcards: Any, attempt: int) -> int:
        """Host memory that the job asks for, in MiB: more on every attempt."""
        return attempt * self.memory.mem_mb

    def runtime(self, wildcards: Any, attempt: int) -> int:
        """Minutes that the job asks for: more on every attempt."""
        perturbed = self.plan.evaluation.perturbed(wildcards.arm, wildcards.model).values()
        return attempt * self.plan.runtime.judge(self.judges, perturbed)

    @property
    def models(self) -> list[str]:
        """Folders of the judges' models, for the judges that have one."""
        return [path for judge in self.judges for path in self.plan.models.judge(judge)]

    @property
    def templates(self) -> list[str]:
        """The judges' templates, for the judges that have one."""
        template = self.plan.models.data.template
        return [path for judge in self.judges for path in template(judge)]

    def completions(self, wildcards: Any) -> list[str]:
        """Completions of the arm, one file per perturbation."""
        return self.plan.evaluation.completions(wildcards)

    def params(self, wildcards: Any) -> str:
        """Version and settings of the judges, and the perturbations that they judge."""
        judges = {name: self.plan.settings.judges[name] for name in self.judges}
        names = self.plan.evaluation.perturbations(wildcards.arm, wildcards.model)
        return params("judge", judges, names)
