"""Tables, figures and exports: the small files that they are made from."""

from __future__ import annotations

from holdfast.config import published
from holdfast.plan.gap import GapPlan
from holdfast.plan.stages import any_of, params
from holdfast.settings.arms import Original
from holdfast.settings.labels import Labels, PerturbationLabel
from holdfast.settings.reads import Result


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
                if not isinstance(arm, Original)
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
        models = self.settings.tables[table].models_of(self.settings)
        return any(self.settings.models[name].says_nothing for name in models)

    def table_inputs(self, table: str) -> list[str]:
        """Small files that a table is made from."""
        return self._result_inputs(self.settings.tables[table])

    def published(self, table: str) -> list[str]:
        """File of published numbers that a table is compared with."""
        comparison = self.settings.tables[table].comparison(self.settings)
        return [str(published.FOLDER / f"{comparison.names.table}.csv")] if comparison else []

    def table_behaviors(self, table: str) -> list[str]:
        """File of the behaviors that a table names; none for a table that names none."""
        return [self.data("behaviors")] * self.settings.tables[table].reads(self.settings).behaviors

    def figure_inputs(self, figure: str) -> list[str]:
        """Small files that a figure is made from."""
        return self._result_inputs(self.settings.figures[figure])

    def _result_inputs(self, entry: Result) -> list[str]:
        reads, seeds = entry.reads(self.settings), self.settings.seeds
        by_arm = (
            ("summary.json", reads.summaries),
            ("cost.json", reads.costs),
            ("history.json", reads.histories),
        )
        return [
            *(self.agreement(judge) for judge in reads.agreements),
            *self.gaps(entry),
            *(
                f"{self.home(model, arm, seed)}/{name}"
                for model in reads.models
                for name, arms in by_arm
                for arm in arms
                for seed in seeds
            ),
            *(
                self.selection(model, arm, seed, selection)
                for model in reads.models
                for arm, selection in reads.selections
                for seed in seeds
            ),
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
