"""Data sets of a run: where they are, and what they are read from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.plan.outside import Outside
from holdfast.plan.paths import OfDataset, Paths
from holdfast.plan.stages import DATASETS, params
from holdfast.settings.data import DataSource, Rows
from holdfast.settings.run import Settings


@dataclass(frozen=True)
class DataPlan:
    """What a run reads."""

    settings: Settings
    paths: Paths
    outside: Outside

    def path(self, name: str) -> str:
        """Path of a normalised data set."""
        suffix = "jsonl" if self.kind(name) != "texts" else "json"
        suffix = "json" if name in self._templates else suffix
        return f"{self.paths.results}/data/{name}.{suffix}"

    def rows(self, name: str) -> Rows:
        """Settings of a data set, of an lm-eval task's documents, or of a judge's template."""
        if name in DATASETS:
            rows: Rows = getattr(self.settings.data, name)
            return rows
        if name in self._attacks:
            return self._attacks[name]
        return Rows(source={**self._documents, **self._templates}[name])

    def kind(self, name: str) -> str:
        """What a data set holds, as ``holdfast.data.prepare`` calls it."""
        if name in self._attacks:
            return "attack pairs"
        return DATASETS.get(name) or ("template" if name in self._templates else "documents")

    def params(self, w: OfDataset) -> str:
        """Version and settings of a data set, and what the file of the user's is that it is of."""
        rows = self.rows(w.dataset)
        return params("data", self.kind(w.dataset), rows, *self.digests([rows.source]))

    def digests(self, sources: Iterable[DataSource]) -> list[str]:
        """What those of the sources are that are files of the user's."""
        return self.outside.data(sources, self.settings.data_root)

    def inputs(self, w: OfDataset) -> list[str]:
        """Files that the data set of a rule's wildcard is read from."""
        return self.source_inputs(self.rows(w.dataset).source)

    def source_inputs(self, source: DataSource) -> list[str]:
        """Files that a source is read from; none for one that is downloaded."""
        if source.pocket:
            return [self.paths.world]
        return [str(source.local(self.settings.data_root))] if source.path else []

    def root(self, sources: Iterable[DataSource]) -> str:
        """Folder that files of ``sources`` are sought in; ``.`` where none is.

        Another ``data_root`` then makes nothing again that was not read from it.
        """
        needed = any(source.needs_root for source in sources)
        return self.settings.data_root if needed else "."

    def attack(self, perturbation: str) -> str:
        """Path of the pairs that a perturbation trains on."""
        return self.path(f"finetune-{perturbation}")

    @property
    def local_tasks(self) -> list[str]:
        """The lm-eval tasks whose documents are a data set of the run."""
        return [name for name, task in self.settings.utility.lm_eval.tasks.items() if task.data]

    @property
    def tasks(self) -> list[str]:
        """Documents of the local lm-eval tasks, in their order."""
        return [self.path(f"tasks-{name}") for name in self.local_tasks]

    def template(self, judge: str) -> list[str]:
        """A judge's template; none for a judge whose template is in its tokenizer."""
        name = f"template-{judge}"
        return [self.path(name)] if name in self._templates else []

    @property
    def _attacks(self) -> dict[str, Rows]:
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
