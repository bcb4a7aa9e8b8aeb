"""Layer scores: in which chunks they are computed, and which selection an arm reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

from holdfast.plan.arms import ArmPlan
from holdfast.plan.models import ModelPlan
from holdfast.plan.paths import At, OfChunk, OfSelection, Paths, Wildcards
from holdfast.settings.run import Settings


@dataclass(frozen=True)
class LayerPlan:
    """Which decoder layers are scored on which arms."""

    settings: Settings
    paths: Paths
    models: ModelPlan
    arms: ArmPlan

    def of_arm(self, w: Wildcards) -> list[str]:
        """Selection that making an arm reads; none when it moves all layers."""
        entry = self.arms.entries[w.arm]
        if entry.selection is None or entry.parent is None:
            return []
        return [self.paths.selection(At(w.model, entry.parent, w.seed), entry.selection)]

    def chunks(self, w: OfSelection) -> list[str]:
        """Paths of the layer scores that a selection is made from, one file a chunk of layers."""
        count = self.models.layers(w.model)
        number = math.ceil(count / self._per_job(w.selection, count))
        folder = f"{self.paths.home(w)}/layers/{w.selection}"
        return [f"{folder}/scores-{chunk}.json" for chunk in range(number)]

    def chunk(self, w: OfChunk) -> list[int]:
        """Decoder layers that a chunk scores."""
        count = self.models.layers(w.model)
        per_job = self._per_job(w.selection, count)
        start = int(w.chunk) * per_job
        return list(range(start, min(start + per_job, count)))

    def _per_job(self, selection: str, count: int) -> int:
        return self.settings.selections[selection].layers_a_job or count
