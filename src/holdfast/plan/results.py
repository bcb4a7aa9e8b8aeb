"""Tables and figures: the small files that they are made from, and what is printed in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.config import published
from holdfast.plan.data import DataPlan
from holdfast.plan.evaluation import EvaluationPlan
from holdfast.plan.gap import GapPlan
from holdfast.plan.paths import At, OfArm, OfFigure, OfTable, Paths
from holdfast.plan.stages import params
from holdfast.plan.sweeps import SweepPlan
from holdfast.settings.labels import Labels, PerturbationLabel
from holdfast.settings.reads import Result
from holdfast.settings.run import Settings


@dataclass(frozen=True)
class ResultPlan:
    """What a reader gets."""

    settings: Settings
    paths: Paths
    data: DataPlan
    evaluation: EvaluationPlan
    gaps: GapPlan
    sweeps: SweepPlan

    @property
    def labels(self) -> Labels:
        """What arms and perturbations are called in tables and figures."""
        perturbations = self.settings.perturbations.items()
        return Labels(
            arms={name: arm.label or name for name, arm in self.settings.arms.items()},
            perturbations={
                name: PerturbationLabel(
                    label=p.label or name,
                    symbol=p.symbol,
                    note=p.note,
                    partial=p.partial,
                )
                for name, p in perturbations
            },
            parents={
                name: arm.parent
                for name, arm in self.settings.arms.items()
                if arm.parent is not None
            },
            points=self.sweeps.used_points,
        )

    @property
    def meaningless(self) -> bool:
        """Whether some model or judge is untrained, so that no number means anything."""
        models = [*self.settings.models.values(), *self.settings.judge_models.values()]
        return any(model.says_nothing for model in models)

    def table_params(self, w: OfTable) -> str:
        """Version and settings of a table, and what it prints names as."""
        entry = self.settings.tables[w.table]
        shown = entry.models_of(self.settings)
        untrained = any(self.settings.models[name].says_nothing for name in shown)
        return params("table", entry, self.labels, untrained)

    def figure_params(self, w: OfFigure) -> str:
        """Version and settings of a figure, and what it prints names as."""
        return params("figure", self.settings.figures[w.figure], self.labels, self.meaningless)

    def sweep_params(self, w: OfArm) -> str:
        """Version and settings of a sweep's table and figure."""
        return params("sweep", self.sweeps.result(w.arm), self.labels, self.meaningless)

    def of_table(self, w: OfTable) -> list[str]:
        """Small files that a table is made from."""
        return self._inputs(self.settings.tables[w.table])

    def published(self, w: OfTable) -> list[str]:
        """File of published numbers that a table is compared with."""
        comparison = self.settings.tables[w.table].comparison(self.settings)
        return [str(published.FOLDER / f"{comparison.names.table}.csv")] if comparison else []

    def behaviors(self, w: OfTable) -> list[str]:
        """File of the behaviors that a table names; none for a table that names none."""
        named = self.settings.tables[w.table].reads(self.settings).behaviors
        return [self.data.path("behaviors")] * named

    def of_figure(self, w: OfFigure) -> list[str]:
        """Small files that a figure is made from."""
        return self._inputs(self.settings.figures[w.figure])

    def _inputs(self, entry: Result) -> list[str]:
        reads = entry.reads(self.settings)
        files = [self.paths.agreement(judge) for judge in reads.agreements]
        files += self.gaps.of(entry)
        for model in reads.models:
            files += [
                self.paths.perturbed(at, perturbation, "summary.json")
                for at in self._each(model, reads.summaries)
                for perturbation in self.evaluation.perturbations(at.arm, model)
                if perturbation in reads.summaries[at.arm]
            ]
            files += [self.paths.file(at, "cost.json") for at in self._each(model, reads.costs)]
            histories = self._each(model, reads.histories)
            files += [self.paths.file(at, "history.json") for at in histories]
            files += [
                self.paths.selection(At(model, arm, seed), selection)
                for arm, selection in reads.selections
                for seed in self.settings.seeds
            ]
        return files

    def _each(self, model: str, arms: Iterable[str]) -> list[At]:
        """Return arms of a model with every training seed."""
        return [At(model, arm, seed) for arm in arms for seed in self.settings.seeds]
