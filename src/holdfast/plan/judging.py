"""Verdicts: which judges read the completions of an arm, and in which jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.plan.evaluation import EvaluationJob, EvaluationPlan
from holdfast.plan.models import ModelPlan
from holdfast.plan.paths import At, Paths
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
        """The jobs that judge: some judges read some arms under some perturbations.

        The perturbations are those of a job that evaluates. Where one job reads one arm, arms
        under the same perturbations share a rule.
        """
        judges = groups(list(self.settings.judges), self.settings.judges_per_job)
        size = self.settings.arms_per_job
        jobs: list[JudgeJob] = []
        for job in self.evaluation.jobs:
            together = groups(job.alike, size) if size > 1 else [()]
            wanted = [(arms, some) for arms in together for some in judges]
            jobs += [JudgeJob(self, n, job, *which) for n, which in enumerate(wanted, len(jobs))]
        return jobs

    @property
    def summaries(self) -> list[SummaryJob]:
        """The jobs that count: one beside each that evaluates."""
        return [SummaryJob(self, job) for job in self.evaluation.jobs]

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
        return [
            self.paths.perturbed(at, name, f"verdicts/{w.judge}.jsonl")
            for at in self.compared
            for name in self.evaluation.perturbations(at.arm, at.model)
        ]

    def agreement_params(self, w: Any) -> str:
        """Version and settings of the comparison, and the perturbation of each file."""
        asked = self.evaluation.perturbations
        names = [name for at in self.compared for name in asked(at.arm, at.model)]
        return params("agreement", self.settings.judges[w.judge], names)


@dataclass(frozen=True)
class JudgeJob:
    """Some judges, who read completions in one process; methods take the wildcards."""

    plan: JudgePlan
    number: int
    evaluated: EvaluationJob
    together: tuple[str, ...]
    """Arms that are judged in one process; none: that of the rule's wildcard alone."""
    judges: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"judge_{self.number}"

    @property
    def folder(self) -> str:
        """Where logs go, below those of the run."""
        return "{model}/seed{seed}" if self.together else "{model}/{arm}/seed{seed}"

    @property
    def scratch(self) -> str:
        """Where verdicts are kept, below the run's scratch: by the first of what is judged."""
        arm = self.together[0] if self.together else "{arm}"
        return f"{{model}}/{arm}/seed{{seed}}/{self.evaluated.perturbations[0]}/verdicts"

    @property
    def outputs(self) -> list[str]:
        """Verdicts by judge, arm and perturbation, with wildcards."""
        arms, under = self.together or ("{arm}",), self.evaluated.perturbations
        homes = [f"<results>/{{model}}/{arm}/seed{{seed}}/{name}" for arm in arms for name in under]
        return [f"{home}/verdicts/{judge}.jsonl" for judge in self.judges for home in homes]

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
        entries = [
            self.plan.evaluation.cells_of(name, arm, wildcards.model)
            for arm in self._arms(wildcards)
            for name in self.evaluated.perturbations
        ]
        return attempt * self.plan.runtime.judge(self.judges, entries)

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
        """Completions by arm and perturbation, in the order of a judge's verdicts."""
        return [
            self.plan.paths.perturbed(
                At(wildcards.model, arm, wildcards.seed), name, "completions.jsonl"
            )
            for arm in self._arms(wildcards)
            for name in self.evaluated.perturbations
        ]

    def params(self, wildcards: Any) -> str:
        """Version and settings of the judges, and the perturbation of each file."""
        judges = {name: self.plan.settings.judges[name] for name in self.judges}
        under = self.evaluated.perturbations
        return params("judge", judges, [name for _ in self._arms(wildcards) for name in under])

    def _arms(self, wildcards: Any) -> tuple[str, ...]:
        return self.together or (wildcards.arm,)


@dataclass(frozen=True)
class SummaryJob:
    """What was measured and said of an arm under some perturbations, counted."""

    plan: JudgePlan
    evaluated: EvaluationJob

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"summary_{self.evaluated.number}"

    def verdicts(self, wildcards: Any) -> list[str]:
        """Verdicts on the arm: for each judge, one file a perturbation."""
        return [
            path
            for judge in self.plan.settings.judges
            for path in self.evaluated.files(wildcards, f"verdicts/{judge}.jsonl")
        ]

    def params(self, wildcards: Any) -> str:
        """Version of the summary, what judges are called, and what the arm was put under."""
        cells, where = self.plan.evaluation.cells_of, (wildcards.arm, wildcards.model)
        under = {name: cells(name, *where) for name in self.evaluated.perturbations}
        return params("summary", self.plan.labels, under)
