"""Every model and data file that a run starts from, by its path in the config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from holdfast.data.prepare import Kind
from holdfast.plan.stages import DATASETS
from holdfast.settings.data import DataSource, Rows
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbation import Variant
from holdfast.settings.run import Settings

Where = Path | tuple[str, str]  # a folder, or the name and commit of a hub repository


@dataclass(frozen=True)
class Source:
    """A checkpoint, what is needed of its tokenizer, and whether it is a ready-made copy."""

    model: ModelSettings
    tokenizer: Literal["none", "plain", "chat"]
    quantized: bool = False
    judges: bool = False  # its chat template is given an answer to judge

    @property
    def where(self) -> Where | None:
        """Where its files are; None when the run makes it."""
        if self.model.path:
            return Path(self.model.path).expanduser()
        if self.model.hub:
            return self.model.hub, str(self.model.revision)
        return None


def checkpoints(settings: Settings) -> dict[str, Source]:
    """Base models, the judges' models and ready-made quantized checkpoints.

    All models need a chat template; a judge's tokenizer needs what the judge says.
    """
    sources = {f"models.{name}": Source(model, "chat") for name, model in settings.models.items()}
    for name, judge in settings.judges.items():
        if judge.needs_model:
            sources[f"judges.{name}.model"] = Source(
                judge.needs_model, judge.needs_tokenizer, judges=True
            )
    for name, entry in settings.perturbations.items():
        for level, variants in entry.variants.items():
            for number, variant in enumerate(variants):
                path = f"perturbations.{name}.levels.{level}.{number}"
                sources[path] = Source(_copy(settings, variant), "none", quantized=True)
    return sources


def _copy(settings: Settings, variant: Variant) -> ModelSettings:
    base = settings.models.get(variant.model)
    source = variant.model_dump(include={"hub", "path", "revision"})
    return ModelSettings(**source, layers=base.layer_count if base else None)


def data(settings: Settings) -> dict[str, tuple[Kind, Rows]]:
    """Kind and rows of every data file, as ``holdfast.data.prepare`` takes them."""
    sources: dict[str, tuple[Kind, Rows]] = {
        f"data.{name}.source": (cast(Kind, kind), getattr(settings.data, name))
        for name, kind in DATASETS.items()
    }
    validation = settings.data.validation
    if validation:
        sources["data.validation.behaviors.source"] = ("behaviors", validation.behaviors)
        if validation.pairs.source:
            sources["data.validation.pairs.source"] = (
                "pairs",
                Rows(source=validation.pairs.source),
            )
        if validation.benign:
            sources["data.validation.benign.source"] = ("prompts", validation.benign)
    for name, entry in settings.perturbations.items():
        if entry.pairs:
            sources[f"perturbations.{name}.source"] = ("attack pairs", entry.pairs)
    for name, task in settings.utility.lm_eval.tasks.items():
        if task.data:
            sources[f"utility.lm_eval.tasks.{name}.data"] = ("documents", Rows(source=task.data))
    for name, judge in settings.judges.items():
        if judge.needs_template:
            sources[f"judges.{name}.template"] = ("template", Rows(source=judge.needs_template))
    return sources


def hub_data(settings: Settings) -> dict[str, DataSource]:
    """Data files of the hub."""
    return {path: rows.source for path, (_, rows) in data(settings).items() if rows.source.hub}
