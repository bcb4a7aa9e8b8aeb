"""Sweeps: which points are scored on which data, in which jobs, and what compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.plan.arms import ArmPlan
from holdfast.plan.data import DataPlan
from holdfast.plan.paths import At, OfArm, OfModel, Paths
from holdfast.plan.resources import Memory, Resources
from holdfast.plan.runtime import Runtime
from holdfast.plan.stages import any_of, groups, params
from holdfast.settings.arms import Arm
from holdfast.settings.cells import Level
from holdfast.settings.data import DataSource
from holdfast.settings.perturbations import Perturbation
from holdfast.settings.points import (
    Point,
    in_words,
    points,
    used_values,
)
from holdfast.settings.run import Settings
from holdfast.settings.sweeps import SweepResult


@dataclass(frozen=True)
class SweepPlan:
    """What is made to choose the settings of an arm."""

    settings: Settings
    paths: Paths
    data: DataPlan
    arms: ArmPlan
    memory: Resources
    runtime: Runtime

    @property
    def entries(self) -> dict[str, Arm]:
        """The arms with a sweep."""
        return {name: arm for name, arm in self.settings.arms.items() if arm.swept}

    @property
    def names(self) -> str:
        """Regular expression of the arms with a sweep."""
        return any_of(self.entries)

    def validation_inputs(self, w: object) -> list[str]:
        """Files that validation data is read from."""
        sources = self.validation_sources
        return list(dict.fromkeys(p for s in sources for p in self.data.source_inputs(s)))

    def validation_params(self, w: object) -> str:
        """Version and settings of the validation data, and what files of the user's it is of."""
        data, digests = self.settings.data, self.data.digests(self.validation_sources)
        return params("validation", data.validation, data.safety.source, *digests)

    @property
    def validation_sources(self) -> list[DataSource]:
        """Where pairs, behaviors and benign prompts of validation come from."""
        validation, safety = self.settings.data.validation, self.settings.data.safety.source
        if validation is None:
            return []
        sources = [validation.pairs.source or safety, validation.behaviors.source]
        return sources + ([validation.benign.source] if validation.benign else [])

    @property
    def jobs(self) -> list[SweepJob]:
        """The jobs that score points: one per ``points_per_job`` points of a sweep."""
        size = self.settings.sweeps.points_per_job
        jobs = []
        for arm, entry in self.entries.items():
            together = groups(points(arm, entry), size)
            jobs += [SweepJob(self, arm, n, group) for n, group in enumerate(together)]
        return jobs

    @property
    def validation_perturbations(self) -> dict[str, Perturbation]:
        """What points are put under: entries of the config with fewer levels."""
        entries = self.settings.perturbations
        wanted: Mapping[str, Sequence[Level]] = self.settings.sweeps.perturbations or {
            name: entry.validation_levels
            for name, entry in entries.items()
            if entry.validation_levels
        }
        return {name: entries[name].only(levels) for name, levels in wanted.items()}

    def inputs(self, w: OfArm) -> list[str]:
        """Scores of all points of a sweep, for every model and seed."""
        return [
            self.paths.file(At(model, point.name, seed), "validation.json")
            for model in self.settings.models
            for point in points(w.arm, self.entries[w.arm])
            for seed in self.settings.seeds
        ]

    def result(self, arm: str) -> SweepResult:
        """What the table and figure of a sweep show."""
        entry = self.entries[arm]
        return SweepResult(
            title=f"Sweep of {entry.label or arm}",
            arm=arm,
            used=used_values(entry),
            choose=self.settings.sweeps.choose,
        )

    @property
    def used_points(self) -> dict[str, str]:
        """What a table says of each arm with a sweep: the values that it was made with."""
        return {
            name: f"{in_words(used_values(arm))} (sweep: snakemake sweep_{name})"
            for name, arm in self.entries.items()
        }


@dataclass(frozen=True)
class SweepJob:
    """Some points of one sweep, scored in one process; methods take the wildcards."""

    plan: SweepPlan
    arm: str
    number: int
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """Name of the rule."""
        return f"points_{self.arm}_{self.number}"

    @property
    def names(self) -> list[str]:
        """Names of the points."""
        return [point.name for point in self.points]

    def parent(self, wildcards: OfModel) -> list[str]:
        """Weights folders that loading the points' parent reads, its own first."""
        parent = self.plan.entries[self.arm].parent
        assert parent is not None
        return self.plan.arms.lineage(At(wildcards.model, parent, wildcards.seed))

    def weights(self, wildcards: OfModel) -> list[str]:
        """Weights folder of every point."""
        arms = self.plan.arms
        at = (At(wildcards.model, point.arm, wildcards.seed) for point in self.points)
        return [arms.weights(w) for w in at]

    def gpu_mem_mb(self, wildcards: OfModel) -> int:
        """Memory of a GPU that the job needs, in MiB."""
        return max(need.gpu_mem_mb for need in self._memory(wildcards))

    def mem_mb(self, wildcards: OfModel, attempt: int) -> int:
        """Host memory that the job asks for, in MiB: twice, since the parent's weights stay."""
        return attempt * 2 * max(need.mem_mb for need in self._memory(wildcards))

    def runtime(self, wildcards: OfModel, attempt: int) -> int:
        """Minutes that the job asks for: more on every attempt."""
        perturbations = self.plan.validation_perturbations.values()
        count = len(self.points)
        return attempt * self.plan.runtime.points(wildcards.model, count, perturbations)

    def _memory(self, wildcards: OfModel) -> list[Memory]:
        """What an evaluation takes, and a refinement's float32 copy while it is replayed."""
        memory, settings = self.plan.memory, self.plan.settings
        needs = [memory.evaluate(wildcards.model, settings.perturbations)]
        if self.plan.entries[self.arm].makes == "replay_log":
            needs.append(memory.zeroth_order(wildcards.model, self.arm))
        return needs

    def params(self, wildcards: OfModel) -> str:
        """Version and settings of the scoring, without what only compares its results."""
        settings = self.plan.settings
        return params(
            "points",
            self.arm,
            {point.name: point.values for point in self.points},
            settings.sweeps.model_dump(exclude={"choose", "perturbations", "points_per_job"}),
            self.plan.validation_perturbations,
            settings.generation,
            settings.data.max_length,
        )
