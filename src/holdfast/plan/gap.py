"""Robustness gaps: of which arms they are measured, and with what."""

from __future__ import annotations

from typing import Any

from holdfast.plan.stages import params
from holdfast.plan.sweeps import SweepPlan


class GapPlan(SweepPlan):
    """What is measured around an arm, where a table or figure asks for it."""

    def gap(self, model: str, arm: str, seed: int | str) -> str:
        """Path of an arm's losses and gradients nearby."""
        return f"{self.home(model, arm, seed)}/gap.json"

    def gaps(self, entry: Any) -> list[str]:
        """Those that a table or figure needs."""
        return [
            self.gap(model, arm, seed)
            for model in self.settings.models_of(entry)
            for arm in self.settings.measured(entry)
            for seed in self.settings.seeds
        ]

    @property
    def gap_params(self) -> str:
        """Version and settings of the measurement."""
        return params("gap", self.settings.gap, self.settings.data.max_length)
