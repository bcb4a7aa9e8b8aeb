"""The settings of a run: one typed model that the schema and config/README.md are made from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from holdfast.checkpoints.settings import ModelSettings
from holdfast.config.arms import Arm, ZerothOrderArm
from holdfast.data.settings import DataSource
from holdfast.gap.settings import GapSettings
from holdfast.judges.settings import HarmBench, LlamaGuard, RefusalPrefix
from holdfast.layers.settings import Random, Robustness, Snip, Wanda, selected
from holdfast.perturbations.settings import Perturbation
from holdfast.pocket.settings import WorldSettings
from holdfast.results.figure_settings import FigureSettings
from holdfast.results.settings import TableSettings
from holdfast.sweeps.settings import SweepSettings
from holdfast.text import Name, PathName
from holdfast.utility.settings import LmEvalSettings, PerplexitySettings

CATALOGUES = ("models", "arms", "selections", "perturbations", "judges", "tables", "figures")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


Selection = Annotated[Robustness | Snip | Wanda | Random, Field(discriminator="kind")]
Judge = Annotated[HarmBench | LlamaGuard | RefusalPrefix, Field(discriminator="kind")]


class Rows(_Frozen):
    """Rows of a data file."""

    source: DataSource = Field(description="the file")
    limit: int | None = Field(
        None, ge=1, description="rows used (pairs: drawn by seed 0; others: the first); null: all"
    )


class Behaviors(Rows):
    """Prompts that a safe model refuses, in HarmBench's or AdvBench's columns."""

    exclude_tags: list[str] = Field(
        ["hash_check"], description="behaviors with one of these tags are left out (section 5.1)"
    )


class ValidationPairs(_Frozen):
    """Pairs like those of D_safe, for the loss and the robustness gap of a sweep's points."""

    source: DataSource | None = Field(None, description="the file; null: that of `data.safety`")
    limit: int = Field(64, ge=1, description="pairs used, drawn by seed 0 from those left")


class ValidationBehaviors(Behaviors):
    """Prompts that a safe model refuses, for the validation ASR of a sweep's points.

    Those that are among the reported behaviors by their text are dropped (AdvBench); behaviors
    with an identifier that is reported are refused (HarmBench's val split, unless
    `data.behaviors` leaves it out).
    """

    limit: int | None = Field(
        100, ge=1, description="behaviors used, drawn by seed 0 from those left; null: all"
    )


class Validation(_Frozen):
    """Data that sweeps compare points on, less what training or a reported number uses."""

    pairs: ValidationPairs = Field(
        default_factory=ValidationPairs, description="held-out pairs of D_safe"
    )
    behaviors: ValidationBehaviors = Field(
        description="prompts that a safe model refuses (AdvBench goals that were not trained on)"
    )
    benign: Rows | None = Field(
        None, description="harmless prompts, for over-refusal; null: not measured"
    )


class Data(_Frozen):
    """The data sets of a run."""

    max_length: int = Field(
        1536, ge=8, description="longest training pair, in tokens (Table 5); longer ones are cut"
    )
    behaviors: Behaviors = Field(description="prompts that a safe model refuses (HarmBench)")
    alignment: Rows = Field(description="pairs for first-order alignment (CB-Safety)")
    safety: Rows = Field(description="D_safe: pairs for layer scores and refinement")
    benign: Rows = Field(description="harmless prompts, for over-refusal")
    perplexity: Rows = Field(description="rows joined by blank lines, for perplexity")
    calibration: Rows = Field(description="pairs that GPTQ is calibrated on")
    validation: Validation | None = Field(
        None, description="what sweeps compare points on; required by an arm with `sweep`"
    )


class Generation(_Frozen):
    """Greedy completions."""

    max_new_tokens: int = Field(512, ge=1, description="longest completion, in tokens")
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="prompts a batch, halved on out-of-memory; `auto`: as many as free memory"
        " holds, told in the log. A number makes runs comparable bit for bit across machines:"
        " logits depend on it in their last bits. A run resumed under `auto` may choose another"
        " number for the prompts that are left",
    )


class Utility(_Frozen):
    """Measures of what a perturbation or repair costs."""

    perplexity: PerplexitySettings = Field(description="windowed perplexity (GPTQ convention)")
    lm_eval: LmEvalSettings = Field(description="zero-shot accuracy by lm-evaluation-harness")


class Settings(_Frozen):
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
    selections: dict[Name, Selection] = Field({}, description="ways to choose layers")
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
            name: judge.model
            for name, judge in self.judges.items()
            if not isinstance(judge, RefusalPrefix)
        }

    def models_of(self, entry: Any) -> list[str]:
        """Return the models that a table or figure shows."""
        wanted = getattr(entry, "models", "all")
        return list(self.models) if wanted == "all" else list(wanted)

    def layers_moved(self, arm: ZerothOrderArm, layers: int) -> int | None:
        """Return how many of a model's decoder layers an arm moves; None: every parameter."""
        return None if arm.layers == "all" else selected(self.selections[arm.layers].top_m, layers)

    def shown(self, entry: Any) -> dict[str, list[str]]:
        """Return the perturbations under which a table or figure shows each arm it names."""
        if hasattr(entry, "sections"):
            parts = [(section, section.arm) for section in entry.sections]
        elif entry.kind == "asr_bars":
            parts = [(entry, arm) for arm in entry.arms]
        elif entry.kind == "asr_curve":
            return {arm: ["none", *entry.perturbations] for arm in entry.arms}
        else:
            return {}
        shown: dict[str, list[str]] = {}
        for part, arm in parts:
            wanted = self._perturbations(part.perturbations)
            shown.setdefault(arm, []).extend(wanted)
            reference = getattr(part, "reference", None)
            if reference:
                under = ["none"] if reference.perturbation == "none" else wanted
                shown.setdefault(reference.arm, []).extend(under)
                for control in getattr(entry, "controls", ()):
                    if getattr(self.arms[control], "parent", None) == reference.arm:
                        shown.setdefault(control, []).extend(under)
        return shown

    def measured(self, entry: Any) -> list[str]:
        """Return the arms whose robustness gap a table or figure needs."""
        if entry.kind == "claims":
            return list(
                dict.fromkeys(a for one in entry.gaps.values() for a in (one.arm, one.than))
            )
        if entry.kind in ("gap", "gap_curve"):
            return list(dict.fromkeys([*entry.arms, *getattr(entry, "references", {}).values()]))
        return []

    def _perturbations(self, wanted: Any) -> list[str]:
        return list(self.perturbations) if wanted == "all" else list(wanted)
