"""Arms: their weights, what they descend from, and the layers they move."""

from __future__ import annotations

import math

from holdfast.plan.data import DataPlan
from holdfast.plan.resources import Resources
from holdfast.plan.runtime import Runtime
from holdfast.plan.stages import any_of, params
from holdfast.settings.arms import Arm
from holdfast.settings.points import point_arms
from holdfast.settings.run import Settings


class ArmPlan(DataPlan):
    """What alignment and refinement make, and the layer scores between them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.arms: dict[str, Arm] = dict(settings.arms)
        """All arms by name: those of the config, then the points of their sweeps."""
        for name, arm in settings.arms.items():
            self.arms |= point_arms(name, arm)
        every = settings.model_copy(update={"arms": self.arms})
        self.memory, self.runtime = Resources(every), Runtime(every)

    def move_params(self, arm: str) -> str:
        """Version and settings of the stage that makes an arm; a point of a sweep may diverge."""
        entry = self.arms[arm]
        of_sweep = [] if arm in self.settings.arms else [{"may_diverge": True}]
        return params(entry.stage, entry.move, self.settings.data.max_length, *of_sweep)

    @property
    def arm_names(self) -> str:
        """Regular expression of all arms."""
        return any_of(self.arms)

    @property
    def first_order_arms(self) -> str:
        """Regular expression of the arms that first-order training makes."""
        return any_of(n for n, a in self.arms.items() if a.makes == "checkpoint")

    @property
    def zeroth_order_arms(self) -> str:
        """Regular expression of the arms that zeroth-order refinement makes."""
        return any_of(n for n, a in self.arms.items() if a.makes == "replay_log")

    @property
    def moved_arms(self) -> str:
        """Regular expression of the arms that are a small move: LoX and the controls."""
        return any_of(n for n, a in self.arms.items() if a.makes == "move")

    def home(self, model: str, arm: str, seed: int | str) -> str:
        """Folder of everything about one arm and training seed."""
        return f"{self.results}/{model}/{arm}/seed{seed}"

    def weights(self, model: str, arm: str, seed: int | str) -> str:
        """Folder of an arm's weights: its own move, or the base model for ``original``."""
        if self.arms[arm].makes == "base":
            return self.base(model)
        return f"{self.home(model, arm, seed)}/weights"

    def parent(self, model: str, arm: str, seed: int | str) -> str:
        """Weights folder of the arm that ``arm`` starts from."""
        parent = self.arms[arm].parent
        assert parent is not None
        return self.weights(model, parent, seed)

    def lineage(self, model: str, arm: str, seed: int | str) -> list[str]:
        """Weights folders that loading an arm reads: its own and its ancestors'."""
        folders = [self.weights(model, arm, seed)]
        while (parent := (entry := self.arms[arm]).parent) is not None:
            if entry.loaded_with:
                folders += self.lineage(model, entry.loaded_with, seed)
            arm = parent
            folders.append(self.weights(model, arm, seed))
        return list(dict.fromkeys(folders))

    def imitated(self, model: str, arm: str, seed: int | str) -> list[str]:
        """What making a small move reads besides the parent; its own folder first."""
        entry = self.arms[arm]
        if entry.factor_rank:
            assert entry.parent is not None
            factors = f"{self.home(model, entry.parent, seed)}/factors/{entry.other}"
            return [factors, f"{factors}.cost.json"]
        return [] if entry.other is None else self.lineage(model, entry.other, seed)

    def factor_rank(self, aligned: str, base: str) -> int:
        """Highest rank at which LoX extrapolates from ``base`` to ``aligned`` and beyond."""
        return max(
            entry.factor_rank
            for entry in self.arms.values()
            if (entry.parent, entry.other) == (aligned, base)
        )

    @property
    def factored_arms(self) -> str:
        """Regular expression of the arms that LoX extrapolates from."""
        return any_of({a.parent for a in self.arms.values() if a.parent and a.factor_rank})

    def selection(self, model: str, arm: str, seed: int | str, selection: str) -> str:
        """Path of the layers chosen on ``arm`` by ``selection``."""
        return f"{self.home(model, arm, seed)}/layers/{selection}/selection.json"

    def arm_selection(self, model: str, arm: str, seed: int | str) -> list[str]:
        """Selection that an arm reads; none when it moves all layers."""
        entry = self.arms[arm]
        if entry.selection is None or entry.parent is None:
            return []
        return [self.selection(model, entry.parent, seed, entry.selection)]

    def score_chunks(self, model: str, arm: str, seed: int | str, selection: str) -> list[str]:
        """Paths of the layer scores, one file per chunk of layers."""
        per_job = self.settings.selections[selection].layers_a_job or self.layers(model)
        chunks = math.ceil(self.layers(model) / per_job)
        home = self.home(model, arm, seed)
        return [f"{home}/layers/{selection}/scores-{chunk}.json" for chunk in range(chunks)]

    def chunk_layers(self, model: str, selection: str, chunk: int | str) -> list[int]:
        """Decoder layers that a chunk scores."""
        count = self.layers(model)
        per_job = self.settings.selections[selection].layers_a_job or count
        start = int(chunk) * per_job
        return list(range(start, min(start + per_job, count)))

    def layers(self, model: str) -> int:
        """Number of decoder layers of a model."""
        count = self.settings.models[model].layer_count
        assert count is not None
        return count
