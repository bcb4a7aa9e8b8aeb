"""Data sets, base models and judges' models: where they are, and what they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast.plan.stages import DATASETS
from holdfast.settings.data import DataSource, Rows
from holdfast.settings.models import ModelSettings
from holdfast.settings.run import Settings


class DataPlan:
    """What a run starts from."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.results = f"results/{settings.run}"

    def data(self, name: str) -> str:
        """Path of a normalised data set."""
        suffix = "jsonl" if self.data_kind(name) != "texts" else "json"
        return f"{self.results}/data/{name}.{'json' if name in self._templates else suffix}"

    def rows(self, name: str) -> Rows:
        """Settings of a data set, of an lm-eval task's documents, or of a judge's template."""
        if name in DATASETS:
            rows: Rows = getattr(self.settings.data, name)
            return rows
        if name in self._attacks:
            return self._attacks[name]
        return Rows(source={**self._documents, **self._templates}[name])

    def data_kind(self, name: str) -> str:
        """What a data set holds, as ``holdfast.data.prepare`` calls it."""
        if name in self._attacks:
            return "pairs"
        return DATASETS.get(name) or ("template" if name in self._templates else "documents")

    def data_inputs(self, name: str) -> list[str]:
        """Files that a data set is read from."""
        return self.source_inputs(self.rows(name).source)

    def source_inputs(self, source: DataSource) -> list[str]:
        """Files that a source is read from; none for one that is downloaded."""
        if source.pocket:
            return [f"{self.results}/world"]
        return [str(source.local(self.settings.data_root))] if source.path else []

    def data_root(self, sources: Iterable[DataSource]) -> str:
        """Folder that files of ``sources`` are sought in; ``.`` where none is.

        Another ``data_root`` then makes nothing again that was not read from it.
        """
        return self.settings.data_root if any(one.needs_root for one in sources) else "."

    @property
    def _attacks(self) -> dict[str, Rows]:
        """Pairs that a perturbation fine-tunes on."""
        return {
            f"finetune-{name}": entry.pairs
            for name, entry in self.settings.perturbations.items()
            if entry.pairs
        }

    @property
    def _documents(self) -> dict[str, DataSource]:
        tasks = self.settings.utility.lm_eval.tasks
        return {f"tasks-{name}": task.data for name, task in tasks.items() if task.data}

    @property
    def _templates(self) -> dict[str, DataSource]:
        judges = self.settings.judges.items()
        return {f"template-{n}": j.needs_template for n, j in judges if j.needs_template}

    def judge_template(self, judge: str) -> list[str]:
        """A judge's template; none for a judge whose template is in its tokenizer."""
        name = f"template-{judge}"
        return [self.data(name)] if name in self._templates else []

    def judge_model(self, judge: str) -> list[str]:
        """Folder of a judge's model; none for a judge that needs no model."""
        needed = self.settings.judges[judge].needs_model
        return [f"{self.results}/judges/{judge}"] if needed else []

    def model_inputs(self, model: ModelSettings) -> list[str]:
        """What a model that the run makes itself is made from."""
        if model.pocket:
            return [f"{self.results}/world"]
        if model.pocket_judge:
            return [f"{self.results}/world", self.base(self._pocket_base)]
        if model.scratch:
            return [self.data(name) for name in ("perplexity", "alignment", "behaviors")]
        return []

    def only_fetched(self, models: Mapping[str, ModelSettings]) -> bool:
        """Whether the jobs of these models fetch or read them and make none."""
        return all(model.hub or model.path for model in models.values())

    def gpus_to_make(self, model: ModelSettings) -> int:
        """GPUs that the job of a model asks for: none to fetch it, those of a job to train it."""
        return 0 if model.hub or model.path else self.settings.gpus

    def gpu_model(self, gpus: int) -> str | None:
        """Kind of GPU that a job with ``gpus`` of them asks a cluster for; None: any, or none."""
        return self.settings.gpu_model if gpus else None

    @property
    def _pocket_base(self) -> str:
        return next(name for name, model in self.settings.models.items() if model.pocket)

    def base(self, model: str) -> str:
        """Folder of a base model."""
        return f"{self.results}/models/{model}"
