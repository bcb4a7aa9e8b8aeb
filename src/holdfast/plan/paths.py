"""Where everything of a run lies: folders and files by model, arm, training seed and names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Wildcards(Protocol):
    """Which arm of which model and training seed a file is of: a rule's wildcards, or an ``At``."""

    @property
    def model(self) -> str: ...
    @property
    def arm(self) -> str: ...
    @property
    def seed(self) -> int | str: ...


class OfModel(Protocol):
    """Wildcards of a file about a model and training seed."""

    @property
    def model(self) -> str: ...
    @property
    def seed(self) -> int | str: ...


class OfPerturbation(Wildcards, Protocol):
    """Wildcards of a file about an arm under a perturbation, where a rule has one for it."""

    @property
    def perturbation(self) -> str: ...


class OfArm(Protocol):
    """Wildcards of a file about an arm of every model."""

    @property
    def arm(self) -> str: ...


class OfSelection(Wildcards, Protocol):
    """Wildcards of a file about a layer selection on an arm."""

    @property
    def selection(self) -> str: ...


class OfChunk(OfSelection, Protocol):
    """Wildcards of a chunk of layer scores."""

    @property
    def chunk(self) -> int | str: ...


class OfTable(Protocol):
    """Wildcards of a table."""

    @property
    def table(self) -> str: ...


class OfFigure(Protocol):
    """Wildcards of a figure."""

    @property
    def figure(self) -> str: ...


class OfJudge(Protocol):
    """Wildcards of a file about a judge."""

    @property
    def judge(self) -> str: ...


class OfDataset(Protocol):
    """Wildcards of prepared data."""

    @property
    def dataset(self) -> str: ...


class At(NamedTuple):
    """One arm of one model and training seed."""

    model: str
    arm: str
    seed: int | str


@dataclass(frozen=True)
class Paths:
    """Places of a run's files; nothing here depends on what the config asks for."""

    results: str
    """Folder of the run."""

    @property
    def world(self) -> str:
        """Folder of the embedded world."""
        return f"{self.results}/world"

    def base(self, model: str) -> str:
        """Folder of a base model."""
        return f"{self.results}/models/{model}"

    def judge(self, judge: str) -> str:
        """Folder of a judge's model."""
        return f"{self.results}/judges/{judge}"

    def agreement(self, judge: str) -> str:
        """Path of a pocket judge's agreement with the world's oracle."""
        return f"{self.results}/judges/{judge}.agreement.json"

    def home(self, w: Wildcards) -> str:
        """Folder of everything about one arm and training seed."""
        return f"{self.results}/{w.model}/{w.arm}/seed{w.seed}"

    def file(self, w: Wildcards, name: str) -> str:
        """Path of a file about one arm and training seed."""
        return f"{self.home(w)}/{name}"

    def perturbed(self, w: Wildcards, perturbation: str, name: str) -> str:
        """Path of a file about an arm under a perturbation."""
        return f"{self.home(w)}/{perturbation}/{name}"

    def selection(self, w: Wildcards, selection: str) -> str:
        """Path of the layers chosen on an arm by ``selection``."""
        return f"{self.home(w)}/layers/{selection}/selection.json"
