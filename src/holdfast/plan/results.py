"""Tables, figures and exports: the small files that they are made from."""

from __future__ import annotations

from typing import Any

from holdfast.config import published
from holdfast.plan.gap import GapPlan
from holdfast.plan.stages import any_of, params
from holdfast.settings.labels import Labels, PerturbationLabel


class Plan(GapPlan):
    """Paths and settings slices of one run, as functions of the wildcards."""

    params = staticmethod(params)

    def names(self, catalogue: str) -> str:
        """Return a regular expression of a catalogue's entries."""
        return any_of(getattr(self.settings, catalogue))

    @property
    def judge_labels(self) -> dict[str, str]:
        """What each judge's attack success rate is called."""
        return {name: judge.label or name for name, judge in self.settings.judges.items()}

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
                    partial=p.kind == "checkpoint",
                )
                for name, p in perturbations
            },
            parents={
                name: arm.parent
                for name, arm in self.settings.arms.items()
                if arm.parent is not None
            },
            points=self.used_points,
        )

    @property
    def meaningless(self) -> bool:
        """Whether some model or judge is untrained, so that no number means anything."""
        models = [*self.settings.models.values(), *self.settings.judge_models.values()]
        return any(model.says_nothing for model in models)

    def shows_untrained(self, table: str) -> bool:
        """Whether a table shows some untrained model, whose numbers mean nothing."""
        models = self.settings.models_of(self.settings.tables[table])
        return any(self.settings.models[name].says_nothing for name in models)

    def table_inputs(self, table: str) -> list[str]:
        """Small files that a table is made from."""
        return self._result_inputs(self.settings.tables[table])

    def published(self, table: str) -> list[str]:
        """File of published numbers that a table is compared with."""
        names = getattr(self.settings.tables[table], "published", None)
        return [str(published.FOLDER / f"{names.table}.csv")] if names else []

    def table_behaviors(self, table: str) -> list[str]:
        """File of the behaviors that a table names; none for a table that names none."""
        return [self.data("behaviors")] * (self.settings.tables[table].kind == "flips")

    def figure_inputs(self, figure: str) -> list[str]:
        """Small files that a figure is made from."""
        return self._result_inputs(self.settings.figures[figure])

    def _result_inputs(self, entry: Any) -> list[str]:
        seeds = self.settings.seeds
        models = self.settings.models_of(entry)
        if entry.kind == "judge_agreement":
            return [self.agreement(judge) for judge in self.settings.pocket_judges]
        if entry.kind in ("cost", "loss_curve"):
            name = "cost.json" if entry.kind == "cost" else "history.json"
            return [
                f"{self.home(model, arm, seed)}/{name}"
                for model in models
                for arm in entry.arms
                for seed in seeds
            ]
        if entry.kind in ("gap", "gap_curve"):
            return self.gaps(entry)
        if entry.kind == "layer_scores":
            return [
                self.selection(model, entry.arm, seed, selection)
                for model in models
                for selection in dict.fromkeys(one.selection for one in entry.series)
                for seed in seeds
            ]
        costs = getattr(entry, "costs", {}).values()
        costly = dict.fromkeys(arm for one in costs for arm in (one.arm, one.share_of))
        return self.gaps(entry) + [
            f"{self.home(model, arm, seed)}/{name}"
            for model in models
            for name, arms in (
                ("summary.json", self.settings.shown(entry)),
                ("cost.json", costly),
            )
            for arm in arms
            for seed in seeds
        ]

    def exports(self) -> dict[str, list[str]]:
        """Plain Hugging Face folders by target name ``export_<arm>``."""
        return {
            f"export_{arm}": [
                f"{self.home(model, arm, seed)}/export"
                for model in self.settings.models
                for seed in self.settings.seeds
            ]
            for arm in self.settings.arms
        }
