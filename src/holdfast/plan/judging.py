"""Verdicts: which judges read the completions of an arm, and in which jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.plan.evaluation import EvaluationPlan
from holdfast.plan.resources import Memory
from holdfast.plan.stages import groups, params


class JudgePlan(EvaluationPlan):
    """What is said of every completion."""

    @property
    def judgments(self) -> list[JudgeJob]:
        """The jobs that judge an arm: one per ``judges_per_job`` judges."""
        names, size = list(self.settings.judges), self.settings.judges_per_job
        return [JudgeJob(self, number, group) for number, group in enumerate(groups(names, size))]

    def verdicts(self, model: str, arm: str, seed: int | str) -> list[str]:
        """Verdicts on an arm, one file per judge."""
        home = self.home(model, arm, seed)
        return [f"{home}/verdicts/{judge}.jsonl" for judge in self.settings.judges]

    def summary(self, model: str, arm: str, seed: int | str) -> str:
        """Path of an arm's summary."""
        return f"{self.home(model, arm, seed)}/summary.json"

    def judged_completions(self) -> list[str]:
        """Completions on which the embedded world's judges are compared with its oracle."""
        return [path for where in self._judged() for path in self.completions(*where)]

    def judged_verdicts(self, judge: str) -> list[str]:
        """One judge's verdicts on those completions."""
        return [f"{self.home(*where)}/verdicts/{judge}.jsonl" for where in self._judged()]

    def judged_perturbations(self) -> list[list[str]]:
        """Perturbations of those completions, one list per verdicts file."""
        return [self.perturbations(arm, model) for model, arm, _ in self._judged()]

    def _judged(self) -> list[tuple[str, str, int]]:
        """Arms of the embedded world's model that some table or figure shows perturbed."""
        return [
            (model, arm, seed)
            for model, settings in self.settings.models.items()
            if settings.pocket
            for arm in self.settings.arms
            if self.perturbations(arm, model)
            for seed in self.settings.seeds
        ]

    def agreement(self, judge: str) -> str:
        """Path of a pocket judge's agreement with the world's oracle."""
        return f"{self.results}/judges/{judge}.agreement.json"


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
        perturbed = self.plan.perturbed(wildcards.arm, wildcards.model).values()
        return attempt * self.plan.runtime.judge(self.judges, perturbed)

    @property
    def models(self) -> list[str]:
        """Folders of the judges' models, for the judges that have one."""
        return [path for judge in self.judges for path in self.plan.judge_model(judge)]

    @property
    def templates(self) -> list[str]:
        """The judges' templates, for the judges that have one."""
        return [path for judge in self.judges for path in self.plan.judge_template(judge)]

    def completions(self, wildcards: Any) -> list[str]:
        """Completions of the arm, one file per perturbation."""
        return self.plan.completions(wildcards.model, wildcards.arm, wildcards.seed)

    def params(self, wildcards: Any) -> str:
        """Version and settings of the judges, and the perturbations that they judge."""
        judges = {name: self.plan.settings.judges[name] for name in self.judges}
        names = self.plan.perturbations(wildcards.arm, wildcards.model)
        return params("judge", judges, names)
