"""Robustness gaps: of which arms they are measured, and with what."""

from __future__ import annotations

from holdfast.plan.stages import params
from holdfast.plan.sweeps import SweepPlan
from holdfast.settings.reads import Result


class GapPlan(SweepPlan):
    """What is measured around an arm, where a table or figure asks for it."""

    def gap(self, model: str, arm: str, seed: int | str) -> str:
        """Path of an arm's losses and gradients nearby."""
        return f"{self.home(model, arm, seed)}/gap.json"

    def gaps(self, entry: Result) -> list[str]:
        """Those that a table or figure needs."""
        reads = entry.reads(self.settings)
        return [
            self.gap(model, arm, seed)
            for model in reads.models
            for arm in reads.gaps
            for seed in self.settings.seeds
        ]

    @property
    def gap_params(self) -> str:
        """Version and settings of the measurement."""
        return params("gap", self.settings.gap, self.settings.data.max_length)
