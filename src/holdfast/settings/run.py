"""The settings of a run: one typed model that the schema and config/README.md are made from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from holdfast.settings.arms import Arm
from holdfast.settings.base import Frozen
from holdfast.settings.data import Data
from holdfast.settings.evaluation import Generation, Utility
from holdfast.settings.figures import FigureSettings
from holdfast.settings.gap import GapSettings
from holdfast.settings.judges import Judge
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbations import Perturbation
from holdfast.settings.pocket import WorldSettings
from holdfast.settings.selections import (
    SelectionSettings,
    selected,
)
from holdfast.settings.sweeps import SweepSettings
from holdfast.settings.tables import TableSettings
from holdfast.text import Name, PathName

CATALOGUES = ("models", "arms", "selections", "perturbations", "judges", "tables", "figures")


class Settings(Frozen):
    """Everything a run depends on."""

    run: Name = Field(description="name of the run; results go to results/<run>")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [0], min_length=1, description="training seeds; every arm is made once per seed"
    )
    perturbations_per_job: int = Field(
        1,
        ge=1,
        description="perturbations of an arm that one job evaluates, loading the model once; more"
        " save start-up, fewer run in parallel",
    )
    judges_per_job: int = Field(
        1,
        ge=1,
        description="judges that one job lets read an arm's completions, one after the other; more"
        " save start-up, fewer run in parallel",
    )
    arms_per_job: int = Field(
        1,
        ge=1,
        description="arms whose completions one job judges, loading a judge once for them all; more"
        " save minutes a judge of 13 billion parameters, fewer run in parallel, and a table of one"
        " arm then waits for the others",
    )
    gpus: int = Field(
        0, ge=0, description="GPUs that one heavy job asks for; 0 computes on the processors"
    )
    gpu_model: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")] | None = Field(
        None,
        description="kind of GPU that those jobs ask a SLURM cluster for, as `sinfo -o %G` names it"
        " (h100); null: any",
    )
    data_root: PathName = Field(
        ".", description="folder that `path:` sources start from; HOLDFAST_DATA overrides it"
    )
    pocket: WorldSettings = Field(
        default_factory=WorldSettings, description="the embedded world, for sources `pocket:`"
    )
    data: Data = Field(description="data sets")
    generation: Generation = Field(default_factory=Generation, description="completions")
    utility: Utility = Field(description="perplexity and accuracy")
    models: dict[Name, ModelSettings] = Field(min_length=1, description="base checkpoints")
    arms: dict[Name, Arm] = Field(min_length=1, description="what is done to the weights")
    selections: dict[Name, SelectionSettings] = Field({}, description="ways to choose layers")
    perturbations: dict[Name, Perturbation] = Field(
        min_length=1, description="what happens after alignment"
    )
    judges: dict[Name, Judge] = Field(min_length=1, description="who decides on a completion")
    sweeps: SweepSettings = Field(
        default_factory=SweepSettings, description="how the points of `sweep` are compared"
    )
    gap: GapSettings = Field(
        default_factory=GapSettings, description="how the robustness gap of arms is measured"
    )
    tables: dict[Name, TableSettings] = Field({}, description="tables to print")
    figures: dict[Name, FigureSettings] = Field({}, description="figures to draw")

    @property
    def pocket_judges(self) -> list[str]:
        """Judges of the embedded world, whose agreement with its oracle can be measured."""
        return [name for name, model in self.judge_models.items() if model.pocket_judge]

    @property
    def judge_models(self) -> dict[str, ModelSettings]:
        """Models of the judges that have one."""
        return {
            name: judge.needs_model
            for name, judge in self.judges.items()
            if judge.needs_model is not None
        }

    def layers_moved(self, arm: Arm, layers: int) -> int | None:
        """Return how many of a model's decoder layers an arm moves; None: every parameter."""
        chosen = arm.selection
        return None if chosen is None else selected(self.selections[chosen].top_m, layers)
