"""Evaluations: which arm is put under which perturbations, and in which jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from holdfast.plan.arms import ArmPlan
from holdfast.plan.data import DataPlan
from holdfast.plan.paths import OfPerturbation, Paths, Wildcards
from holdfast.plan.resources import Memory, Resources
from holdfast.plan.runtime import Runtime
from holdfast.plan.stages import any_of, groups, params
from holdfast.settings.perturbations import Perturbation
from holdfast.settings.run import Settings

QUANTIZED = "quantized"


@dataclass(frozen=True)
class EvaluationPlan:
    """What is measured on every arm."""

    settings: Settings
    paths: Paths
    data: DataPlan
    arms: ArmPlan
    memory: Resources
    runtime: Runtime

    def perturbations(self, arm: str, model: str | None = None) -> list[str]:
        """Perturbations under which some table or figure shows ``arm``: none first, then as given.

        (Snakemake puts an overlay's entries before those of the default config.) With ``model``,
        those that this model has: a ready-made checkpoint exists for some models and arms only.
        """
        shown = self._shown.get(arm, set())
        entries = self.settings.perturbations
        ordered = sorted(entries, key=lambda name: entries[name].place)
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

    @cached_property
    def jobs(self) -> list[EvaluationJob]:
        """The jobs that evaluate an arm: one per ``perturbations_per_job`` perturbations.

        Checkpoints, which not every model may have, get a job each. What a file costs to plan grows
        with the rules, so arms under the same perturbations share theirs, and perturbations that
        are tested one a job share one.
        """
        alike: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        for arm in self.settings.arms:
            under = (tuple(self.perturbations(arm, model)) for model in self.settings.models)
            alike.setdefault(tuple(under), []).append(arm)
        jobs: list[EvaluationJob] = []
        for arms in alike.values():
            names, size = self.perturbations(arms[0]), self.settings.perturbations_per_job
            partial = [(name,) for name in names if self.settings.perturbations[name].partial]
            names = [name for name in names if (name,) not in partial]
            apart = size == 1 and len(names) > 1
            rules = [*([tuple(names)] if apart else groups(names, size)), *partial]
            numbered = enumerate(rules, start=len(jobs))
            jobs.extend(
                EvaluationJob(self, tuple(arms), number, group, apart and group not in partial)
                for number, group in numbered
            )
        return jobs

    @cached_property
    def _by_name(self) -> dict[str, EvaluationJob]:
        return {job.name: job for job in self.jobs}

    def cell_count(self, rule: str, wildcards: Mapping[str, str]) -> int:
        """Return how many levels and draws the job of a rule evaluates; other stages': none."""
        if rule not in self._by_name:
            return 0
        where, job = (wildcards["arm"], wildcards["model"]), self._by_name[rule]
        names = (wildcards["perturbation"],) if job.apart else job.perturbations
        return sum(len(self.cells_of(name, *where).cells) for name in names)

    def quantized_by(self, maker: str) -> str:
        """Regular expression of the perturbations whose copies of the weights ``maker`` makes."""
        entries = self.settings.perturbations.items()
        return any_of(name for name, entry in entries if entry.copies_by == maker)

    def quantized(self, w: Wildcards, perturbation: str) -> list[str]:
        """Folder of the quantized copies that a perturbation reads; none where it reads none."""
        if not self.settings.perturbations[perturbation].stored:
            return []
        return [self.paths.perturbed(w, perturbation, QUANTIZED)]

    def ready_made_params(self, w: OfPerturbation) -> str:
        """Version and settings of ready-made copies, and what the folders of the user's are."""
        settings = self.cells_of(w.perturbation, w.arm, w.model)
        variants = [variant for level in settings.variants.values() for variant in level]
        return params("quantize", settings, *self.data.outside.models(variants))

    def completions(self, w: Wildcards) -> list[str]:
        """Completions of an arm, one file per perturbation."""
        asked = self.perturbations(w.arm, w.model)
        return [self.paths.perturbed(w, name, "completions.jsonl") for name in asked]


@dataclass(frozen=True)
class EvaluationJob:
    """Perturbations of an arm, evaluated in one process or apart; methods take the wildcards."""

    plan: EvaluationPlan
    alike: tuple[str, ...]
    number: int
    perturbations: tuple[str, ...]
    apart: bool
    """Whether each perturbation has a process of its own, which the rule's wildcard names."""

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"evaluate_{self.number}"

    @property
    def folder(self) -> str:
        """Where logs go, below those of the run."""
        return "{model}/{arm}/seed{seed}" + ("/{perturbation}" if self.apart else "")

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names of the perturbations of one process, as they stand in the rule's paths."""
        return ("{perturbation}",) if self.apart else self.perturbations

    def outputs(self, file: str) -> list[str]:
        """Files by perturbation, with wildcards."""
        return [f"<results>/{{model}}/{{arm}}/seed{{seed}}/{name}/{file}" for name in self.patterns]

    @property
    def arms(self) -> str:
        """Regular expression of the arms that are put under these perturbations."""
        return any_of(self.alike)

    @property
    def named(self) -> str:
        """Regular expression of these perturbations."""
        return any_of(self.perturbations)

    @property
    def models(self) -> str:
        """Regular expression of the models that have one of these perturbations."""
        plan = self.plan
        return any_of(
            model
            for model in plan.settings.models
            if set(self.perturbations) & set(plan.perturbations(self.alike[0], model))
        )

    def under(self, wildcards: OfPerturbation) -> tuple[str, ...]:
        """Names of the perturbations of one process."""
        return (wildcards.perturbation,) if self.apart else self.perturbations

    def lineage(self, wildcards: OfPerturbation) -> list[str]:
        """Weights folders that loading the arm reads."""
        return self.plan.arms.lineage(wildcards)

    def quantized(self, wildcards: OfPerturbation) -> list[str]:
        """Folders of the quantized copies that these perturbations read."""
        names = self.under(wildcards)
        return [path for name in names for path in self.plan.quantized(wildcards, name)]

    def gpu_mem_mb(self, wildcards: OfPerturbation) -> int:
        """Memory of a GPU that the job needs, in MiB."""
        return self._memory(wildcards).gpu_mem_mb

    def mem_mb(self, wildcards: OfPerturbation, attempt: int) -> int:
        """Host memory that the job asks for, in MiB: more on every attempt."""
        return attempt * self._memory(wildcards).mem_mb

    def runtime(self, wildcards: OfPerturbation, attempt: int) -> int:
        """Minutes that the job asks for: more on every attempt."""
        where = (wildcards.arm, wildcards.model)
        asked = [self.plan.cells_of(name, *where) for name in self.under(wildcards)]
        return attempt * self.plan.runtime.evaluate(wildcards.model, asked)

    def _memory(self, wildcards: OfPerturbation) -> Memory:
        return self.plan.memory.evaluate(wildcards.model, self.under(wildcards))

    def params(self, wildcards: OfPerturbation) -> str:
        """Version and settings of the evaluation.

        A function, since Snakemake would read braces in a plain string as wildcards.
        """
        plan, settings = self.plan, self.plan.settings
        perturbations = {
            name: plan.cells_of(name, wildcards.arm, wildcards.model)
            for name in self.under(wildcards)
        }
        return params(
            "evaluate",
            perturbations,
            settings.generation,
            settings.utility,
            plan.data.local_tasks,
        )
