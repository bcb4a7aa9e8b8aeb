"""Verdicts: which judges read the completions of an arm, and in which jobs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from holdfast.plan.evaluation import EvaluationJob, EvaluationPlan
from holdfast.plan.models import ModelPlan
from holdfast.plan.paths import At, OfJudge, OfPerturbation, Paths
from holdfast.plan.resources import Memory, Resources
from holdfast.plan.runtime import Runtime
from holdfast.plan.stages import groups, params
from holdfast.settings.perturbations import Perturbation
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

    @cached_property
    def jobs(self) -> list[JudgeJob]:
        """The jobs that judge: some judges read what a summary counts."""
        judges = groups(list(self.settings.judges), self.settings.judges_per_job)
        wanted = [(read, some) for read in self.summaries for some in judges]
        return [JudgeJob(self, number, *which) for number, which in enumerate(wanted)]

    @cached_property
    def summaries(self) -> list[SummaryJob]:
        """The jobs that count what was measured and said of arms under some perturbations.

        The perturbations are those of a job that evaluates. Where one job is of one arm, arms
        under the same perturbations share a rule.
        """
        size = self.settings.arms_per_job
        wanted: list[tuple[EvaluationJob, tuple[str, ...]]] = []
        for job in self.evaluation.jobs:
            together = groups(job.alike, size) if size > 1 else [()]
            wanted += [(job, arms) for arms in together]
        return [SummaryJob(self, number, *which) for number, which in enumerate(wanted)]

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

    def compared_verdicts(self, w: OfJudge) -> list[str]:
        """A judge's verdicts on those completions."""
        return [
            self.paths.perturbed(at, name, f"verdicts/{w.judge}.jsonl")
            for at in self.compared
            for name in self.evaluation.perturbations(at.arm, at.model)
        ]

    def agreement_params(self, w: OfJudge) -> str:
        """Version and settings of the comparison, and the perturbation of each file."""
        asked = self.evaluation.perturbations
        names = [name for at in self.compared for name in asked(at.arm, at.model)]
        return params("agreement", self.settings.judges[w.judge], names)


@dataclass(frozen=True)
class SummaryJob:
    """What was measured and said of arms under some perturbations; methods take the wildcards."""

    plan: JudgePlan
    number: int
    evaluated: EvaluationJob
    together: tuple[str, ...]
    """Arms that one process is for; none: that of the rule's wildcard alone."""

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"summary_{self.number}"

    @property
    def folder(self) -> str:
        """Where logs go, below those of the run."""
        if not self.together:
            return self.evaluated.folder
        return self.evaluated.folder.replace("/{arm}", "")

    @property
    def scratch(self) -> str:
        """Where verdicts are kept, below the run's scratch: by the first of what is judged."""
        arm = self.together[0] if self.together else "{arm}"
        return f"{{model}}/{arm}/seed{{seed}}/{self.evaluated.patterns[0]}/verdicts"

    def outputs(self, *files: str) -> list[str]:
        """Files by name, arm and perturbation, with wildcards."""
        arms, under = self.together or ("{arm}",), self.evaluated.patterns
        homes = [f"<results>/{{model}}/{arm}/seed{{seed}}/{name}" for arm in arms for name in under]
        return [f"{home}/{file}" for file in files for home in homes]

    @property
    def verdicts(self) -> list[str]:
        """Verdicts by judge, arm and perturbation, with wildcards."""
        return self.outputs(*(f"verdicts/{judge}.jsonl" for judge in self.plan.settings.judges))

    def cells(self, wildcards: OfPerturbation) -> list[tuple[str, str, Perturbation]]:
        """Every arm, under every perturbation with its settings."""
        arms, of = self.together or (wildcards.arm,), self.plan.evaluation.cells_of
        names, model = self.evaluated.under(wildcards), wildcards.model
        return [(arm, name, of(name, arm, model)) for arm in arms for name in names]

    def params(self, wildcards: OfPerturbation) -> str:
        """Version of the summary, what judges are called, and what the arms were put under."""
        return params("summary", self.plan.labels, self.cells(wildcards))


@dataclass(frozen=True)
class JudgeJob:
    """Some judges, who read completions in one process; methods take the wildcards."""

    plan: JudgePlan
    number: int
    read: SummaryJob
    judges: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"judge_{self.number}"

    @property
    def outputs(self) -> list[str]:
        """Verdicts by judge, arm and perturbation, with wildcards."""
        return self.read.outputs(*(f"verdicts/{judge}.jsonl" for judge in self.judges))

    @property
    def memory(self) -> Memory:
        """Memory that the job needs."""
        return self.plan.memory.judge(self.judges)

    @property
    def gpus(self) -> int:
        """GPUs that the job asks for: none where no judge has a model."""
        return self.plan.settings.gpus * bool(self.models)

    def mem_mb(self, wildcards: OfPerturbation, attempt: int) -> int:
        """Host memory that the job asks for, in MiB: more on every attempt."""
        return attempt * self.memory.mem_mb

    def runtime(self, wildcards: OfPerturbation, attempt: int) -> int:
        """Minutes that the job asks for: more on every attempt."""
        entries = [settings for _, _, settings in self.read.cells(wildcards)]
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

    def params(self, wildcards: OfPerturbation) -> str:
        """Version and settings of the judges, and the perturbation of each file."""
        judges = {name: self.plan.settings.judges[name] for name in self.judges}
        return params("judge", judges, [name for _, name, _ in self.read.cells(wildcards)])
