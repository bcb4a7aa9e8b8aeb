"""Arms: their weights, what they descend from, and what makes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from holdfast.plan.paths import At, Paths, Wildcards
from holdfast.plan.stages import any_of, params
from holdfast.settings.arms import Arm
from holdfast.settings.points import point_arms
from holdfast.settings.run import Settings


@dataclass(frozen=True)
class ArmPlan:
    """What alignment, refinement and controls make."""

    settings: Settings
    paths: Paths

    @cached_property
    def entries(self) -> dict[str, Arm]:
        """All arms by name: those of the config, then the points of their sweeps."""
        entries = dict(self.settings.arms)
        for name, arm in self.settings.arms.items():
            entries |= point_arms(name, arm)
        return entries

    def params(self, w: Wildcards) -> str:
        """Version and settings of the stage that makes an arm; a point of a sweep may diverge."""
        entry = self.entries[w.arm]
        of_sweep = [] if w.arm in self.settings.arms else [{"may_diverge": True}]
        return params(entry.stage, entry.move, self.settings.data.max_length, *of_sweep)

    def move_params(self, w: Wildcards) -> str:
        """Version and settings of the stage of a small move."""
        entry = self.entries[w.arm]
        return params("move", entry.stage, entry.move)

    @property
    def names(self) -> str:
        """Regular expression of all arms."""
        return any_of(self.entries)

    @property
    def first_order(self) -> str:
        """Regular expression of the arms that first-order training makes."""
        return any_of(n for n, a in self.entries.items() if a.makes == "checkpoint")

    @property
    def zeroth_order(self) -> str:
        """Regular expression of the arms that zeroth-order refinement makes."""
        return any_of(n for n, a in self.entries.items() if a.makes == "replay_log")

    @property
    def moved(self) -> str:
        """Regular expression of the arms that are a small move: LoX and the controls."""
        return any_of(n for n, a in self.entries.items() if a.makes == "move")

    @property
    def factored(self) -> str:
        """Regular expression of the arms that LoX extrapolates from."""
        return any_of({a.parent for a in self.entries.values() if a.parent and a.factor_rank})

    def weights(self, w: Wildcards) -> str:
        """Folder of an arm's weights: its own move, or the base model for ``original``."""
        if self.entries[w.arm].makes == "base":
            return self.paths.base(w.model)
        return self.paths.file(w, "weights")

    def lineage(self, w: Wildcards) -> list[str]:
        """Weights folders that loading an arm reads: its own and its ancestors'."""
        folders = [self.weights(w)]
        arm = w.arm
        while (parent := (entry := self.entries[arm]).parent) is not None:
            if entry.loaded_with:
                folders += self.lineage(At(w.model, entry.loaded_with, w.seed))
            arm = parent
            folders.append(self.weights(At(w.model, arm, w.seed)))
        return list(dict.fromkeys(folders))

    def parent_lineage(self, w: Wildcards) -> list[str]:
        """Weights folders that loading an arm's parent reads, its own first."""
        parent = self.entries[w.arm].parent
        assert parent is not None
        return self.lineage(At(w.model, parent, w.seed))

    def imitated(self, w: Wildcards) -> list[str]:
        """What making a small move reads besides the parent; its own folder first."""
        entry = self.entries[w.arm]
        if entry.factor_rank:
            assert entry.parent is not None
            aligned = At(w.model, entry.parent, w.seed)
            factors = self.paths.file(aligned, f"factors/{entry.other}")
            return [factors, f"{factors}.cost.json"]
        return [] if entry.other is None else self.lineage(At(w.model, entry.other, w.seed))

    def factor_rank(self, aligned: str, base: str) -> int:
        """Highest rank at which LoX extrapolates from ``base`` to ``aligned`` and beyond."""
        return max(
            entry.factor_rank
            for entry in self.entries.values()
            if (entry.parent, entry.other) == (aligned, base)
        )

    def exports(self) -> dict[str, list[str]]:
        """Plain Hugging Face folders by target name ``export_<arm>``."""
        return {
            f"export_{arm}": [
                self.paths.file(At(model, arm, seed), "export")
                for model in self.settings.models
                for seed in self.settings.seeds
            ]
            for arm in self.settings.arms
        }
