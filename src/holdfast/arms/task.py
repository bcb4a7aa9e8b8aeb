"""What training and refinement start from, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.arms.load import load_arm
from holdfast.arms.training_state import TrainingStep
from holdfast.checkpoints.export import try_saving
from holdfast.checkpoints.load import Loaded, Needs
from holdfast.data.outputs import SelectionFile
from holdfast.engine.batches import Example, encode_pairs
from holdfast.engine.cost import Usage
from holdfast.files.atomic import read_jsonl
from holdfast.files.typed import read_typed


@dataclass(frozen=True)
class Task:
    """A parent's weights folder, pairs cut at ``max_length`` tokens, and the layers that may move.

    ``selection`` is the file of these; None: all. A killed job goes on from ``scratch``. As many
    ``processes`` share the work, a GPU each, where the stage can be shared.
    """

    parent: Path
    data: Path
    max_length: int
    seed: int
    selection: Path | None
    scratch: Path
    processes: int = 1

    @property
    def layers(self) -> list[int] | None:
        """The decoder layers that may move; None: every parameter."""
        return read_typed(SelectionFile, self.selection).top if self.selection else None

    def load(self, needs: Needs | None = None) -> tuple[Loaded, list[Example]]:
        """Return the parent and the encoded pairs."""
        loaded = load_arm(self.parent, needs=needs)
        return loaded, encode_pairs(loaded.tokenizer, read_jsonl(self.data), self.max_length)

    def load_to_train(self) -> tuple[Loaded, list[Example]]:
        """Return the same, once it has been seen that what is trained can be saved."""
        loaded, examples = self.load()
        try_saving(loaded.model, loaded.tokenizer, self.scratch)
        return loaded, examples


class Trained(NamedTuple):
    """A trained model, what training it took, and its steps."""

    usage: Usage
    loaded: Loaded
    history: list[TrainingStep]


class Refined(NamedTuple):
    """A refined model, what refining it took, and the log that makes it from its parent."""

    usage: Usage
    loaded: Loaded
    log: dict[str, Any]
    forward_passes: float
