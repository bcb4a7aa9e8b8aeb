"""Evaluations: which arm is put under which perturbations, and in which jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from holdfast.plan.arms import ArmPlan
from holdfast.plan.resources import Memory
from holdfast.plan.stages import any_of, groups, params
from holdfast.settings.perturbations import Gptq, Perturbation

QUANTIZED = "quantized"


class EvaluationPlan(ArmPlan):
    """What is measured on every arm."""

    def perturbations(self, arm: str, model: str | None = None) -> list[str]:
        """Perturbations under which some table or figure shows ``arm``: none first, then as given.

        (Snakemake puts an overlay's entries before those of the default config.) With ``model``,
        those that this model has: a ready-made checkpoint exists for some models and arms only.
        """
        shown = self._shown.get(arm, set())
        entries = self.settings.perturbations
        ordered = sorted(entries, key=lambda name: entries[name].kind != "none")
        models = self.settings.models if model is None else [model]
        return [
            name
            for name in ordered
            if name in shown and any(entries[name].of(one, arm) for one in models)
        ]

    @cached_property
    def _shown(self) -> dict[str, set[str]]:
        """By arm the perturbations that tables and figures name: gathered once for all jobs."""
        shown: dict[str, set[str]] = {}
        for entry in [*self.settings.tables.values(), *self.settings.figures.values()]:
            for arm, names in entry.reads(self.settings).summaries.items():
                shown.setdefault(arm, set()).update(names)
        return shown

    def perturbed(self, arm: str, model: str | None = None) -> dict[str, Perturbation]:
        """Settings by name of what ``arm`` is shown under; of ``model``, only what it has."""
        names = self.perturbations(arm, model)
        if model is None:
            return {name: self.settings.perturbations[name] for name in names}
        return {name: self.cells_of(name, arm, model) for name in names}

    def cells_of(self, perturbation: str, arm: str, model: str) -> Perturbation:
        """Settings of what is tested on ``arm`` of ``model`` under a perturbation."""
        settings = self.settings.perturbations[perturbation].of(model, arm)
        assert settings is not None
        return settings

    @property
    def local_tasks(self) -> list[str]:
        """The lm-eval tasks whose documents are a data set of the run."""
        return [name for name, task in self.settings.utility.lm_eval.tasks.items() if task.data]

    @property
    def task_data(self) -> list[str]:
        """Documents of the local lm-eval tasks, in their order."""
        return [self.data(f"tasks-{name}") for name in self.local_tasks]

    @property
    def evaluations(self) -> list[EvaluationJob]:
        """The jobs that evaluate an arm: one per ``perturbations_per_job`` perturbations.

        Checkpoints, which not every model may have, get a job each. Arms under the same
        perturbations share their jobs' rules: what a file costs to plan grows with the rules.
        """
        alike: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        for arm in self.settings.arms:
            under = (tuple(self.perturbations(arm, model)) for model in self.settings.models)
            alike.setdefault(tuple(under), []).append(arm)
        jobs: list[EvaluationJob] = []
        for arms in alike.values():
            names, size = self.perturbations(arms[0]), self.settings.perturbations_per_job
            alone = [(name,) for name in names if self._kind(name) == "checkpoint"]
            names = [name for name in names if (name,) not in alone]
            together = enumerate([*groups(names, size), *alone], start=len(jobs))
            jobs.extend(EvaluationJob(self, tuple(arms), n, group) for n, group in together)
        return jobs

    @cached_property
    def _evaluations(self) -> dict[str, EvaluationJob]:
        return {job.name: job for job in self.evaluations}

    def cell_count(self, rule: str, wildcards: Mapping[str, str]) -> int:
        """Return how many levels and draws the job of a rule evaluates; other stages': none."""
        if rule not in self._evaluations:
            return 0
        where = (wildcards["arm"], wildcards["model"])
        names = self._evaluations[rule].perturbations
        return sum(len(self.cells_of(name, *where).cells) for name in names)

    def _kind(self, perturbation: str) -> str:
        """What makes a perturbation's quantized copies, or else what kind it is."""
        settings = self.settings.perturbations[perturbation]
        return settings.backend if isinstance(settings, Gptq) else settings.kind

    def quantized_by(self, kind: str) -> str:
        """Regular expression of the perturbations whose quantized copies ``kind`` makes."""
        return any_of(name for name in self.settings.perturbations if self._kind(name) == kind)

    def quantized(self, model: str, arm: str, seed: int | str, perturbation: str) -> list[str]:
        """Folder of the quantized copies that a perturbation reads; none where it reads none."""
        if not self.settings.perturbations[perturbation].stored:
            return []
        return [f"{self.home(model, arm, seed)}/{perturbation}/{QUANTIZED}"]

    def completions(self, model: str, arm: str, seed: int | str) -> list[str]:
        """Completions of an arm, one file per perturbation."""
        home = self.home(model, arm, seed)
        return [f"{home}/{name}/completions.jsonl" for name in self.perturbations(arm, model)]

    def utilities(self, model: str, arm: str, seed: int | str) -> list[str]:
        """Perplexities and accuracies of an arm, one file per perturbation."""
        home = self.home(model, arm, seed)
        return [f"{home}/{name}/utility.json" for name in self.perturbations(arm, model)]


@dataclass(frozen=True)
class EvaluationJob:
    """Some perturbations of an arm, evaluated in one process; methods take the wildcards."""

    plan: EvaluationPlan
    alike: tuple[str, ...]
    number: int
    perturbations: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"evaluate_{self.number}"

    @property
    def arms(self) -> str:
        """Regular expression of the arms that are put under these perturbations."""
        return any_of(self.alike)

    @property
    def models(self) -> str:
        """Regular expression of the models that have one of these perturbations."""
        plan = self.plan
        return any_of(
            model
            for model in plan.settings.models
            if set(self.perturbations) & set(plan.perturbations(self.alike[0], model))
        )

    def lineage(self, wildcards: Any) -> list[str]:
        """Weights folders that loading the arm reads."""
        return self.plan.lineage(wildcards.model, wildcards.arm, wildcards.seed)

    def quantized(self, wildcards: Any) -> list[str]:
        """Folders of the quantized copies that these perturbations read."""
        where = (wildcards.model, wildcards.arm, wildcards.seed)
        return [path for name in self.perturbations for path in self.plan.quantized(*where, name)]

    def gpu_mem_mb(self, wildcards: Any) -> int:
        """Memory of a GPU that the job needs, in MiB."""
        return self._memory(wildcards).gpu_mem_mb

    def mem_mb(self, wildcards: Any, attempt: int) -> int:
        """Host memory that the job asks for, in MiB: more on every attempt."""
        return attempt * self._memory(wildcards).mem_mb

    def runtime(self, wildcards: Any, attempt: int) -> int:
        """Minutes that the job asks for: more on every attempt."""
        where = (wildcards.arm, wildcards.model)
        asked = [self.plan.cells_of(name, *where) for name in self.perturbations]
        return attempt * self.plan.runtime.evaluate(wildcards.model, asked)

    def _memory(self, wildcards: Any) -> Memory:
        return self.plan.memory.evaluate(wildcards.model, self.perturbations)

    def params(self, wildcards: Any) -> str:
        """Version and settings of the evaluation.

        A function, since Snakemake would read braces in a plain string as wildcards.
        """
        plan, settings = self.plan, self.plan.settings
        perturbations = {
            name: plan.cells_of(name, wildcards.arm, wildcards.model) for name in self.perturbations
        }
        return params(
            "evaluate",
            wildcards.arm,
            perturbations,
            settings.generation,
            settings.utility,
            self.plan.local_tasks,
        )
