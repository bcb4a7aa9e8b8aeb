"""Tables and figures: the small files that they are made from, and what is printed in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.config import published
from holdfast.plan.data import DataPlan
from holdfast.plan.evaluation import EvaluationPlan
from holdfast.plan.gap import GapPlan
from holdfast.plan.paths import At, Paths
from holdfast.plan.stages import params
from holdfast.plan.sweeps import SweepPlan
from holdfast.settings.labels import Labels, PerturbationLabel
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

    def table_params(self, w: Any) -> str:
        """Version and settings of a table, and what it prints names as."""
        entry = self.settings.tables[w.table]
        shown = self.settings.models_of(entry)
        untrained = any(self.settings.models[name].says_nothing for name in shown)
        return params("table", entry, self.labels, untrained)

    def figure_params(self, w: Any) -> str:
        """Version and settings of a figure, and what it prints names as."""
        return params("figure", self.settings.figures[w.figure], self.labels, self.meaningless)

    def sweep_params(self, w: Any) -> str:
        """Version and settings of a sweep's table and figure."""
        return params("sweep", self.sweeps.result(w.arm), self.labels, self.meaningless)

    def of_table(self, w: Any) -> list[str]:
        """Small files that a table is made from."""
        return self._inputs(self.settings.tables[w.table])

    def published(self, w: Any) -> list[str]:
        """File of published numbers that a table is compared with."""
        names = getattr(self.settings.tables[w.table], "published", None)
        return [str(published.FOLDER / f"{names.table}.csv")] if names else []

    def behaviors(self, w: Any) -> list[str]:
        """File of the behaviors that a table names; none for a table that names none."""
        return [self.data.path("behaviors")] * (self.settings.tables[w.table].kind == "flips")

    def of_figure(self, w: Any) -> list[str]:
        """Small files that a figure is made from."""
        return self._inputs(self.settings.figures[w.figure])

    def _inputs(self, entry: Any) -> list[str]:
        seeds = self.settings.seeds
        models = self.settings.models_of(entry)
        if entry.kind == "judge_agreement":
            return [self.paths.agreement(judge) for judge in self.settings.pocket_judges]
        if entry.kind in ("cost", "loss_curve"):
            name = "cost.json" if entry.kind == "cost" else "history.json"
            return [
                self.paths.file(At(model, arm, seed), name)
                for model in models
                for arm in entry.arms
                for seed in seeds
            ]
        if entry.kind in ("gap", "gap_curve"):
            return self.gaps.of(entry)
        if entry.kind == "layer_scores":
            return [
                self.paths.selection(At(model, entry.arm, seed), selection)
                for model in models
                for selection in dict.fromkeys(one.selection for one in entry.series)
                for seed in seeds
            ]
        costs = getattr(entry, "costs", {}).values()
        costly = dict.fromkeys(arm for one in costs for arm in (one.arm, one.share_of))
        files = self.gaps.of(entry)
        for model in models:
            files += [
                self.paths.perturbed(At(model, arm, seed), perturbation, "summary.json")
                for arm, names in self.settings.shown(entry).items()
                for seed in seeds
                for perturbation in self._existing(model, arm, names)
            ]
            files += [
                self.paths.file(At(model, arm, seed), "cost.json")
                for arm in costly
                for seed in seeds
            ]
        return files

    def _existing(self, model: str, arm: str, names: Sequence[str]) -> list[str]:
        """Return the perturbations among ``names`` that exist for an arm, in the run's order."""
        return [name for name in self.evaluation.perturbations(arm, model) if name in names]
