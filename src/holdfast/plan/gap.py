"""Robustness gaps: of which arms they are measured, and with what."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.plan.paths import At, Paths
from holdfast.plan.stages import params
from holdfast.settings.reads import Result
from holdfast.settings.run import Settings


@dataclass(frozen=True)
class GapPlan:
    """What is measured around an arm, where a table or figure asks for it."""

    settings: Settings
    paths: Paths

    def of(self, entry: Result) -> list[str]:
        """Losses and gradients nearby that a table or figure needs, one file an arm."""
        reads = entry.reads(self.settings)
        return [
            self.paths.file(At(model, arm, seed), "gap.json")
            for model in reads.models
            for arm in reads.gaps
            for seed in self.settings.seeds
        ]

    def params(self, w: object) -> str:
        """Version and settings of the measurement."""
        return params("gap", self.settings.gap, self.settings.data.max_length)
