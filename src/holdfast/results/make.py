"""From a run's files to a summary, a table or a figure: read, build, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.data.outputs import CompletionRow, UtilityFile
from holdfast.files.atomic import (
    read_json,
    read_jsonl,
    sha256,
    write_text,
)
from holdfast.files.manifest import versions
from holdfast.files.typed import read_rows, read_typed
from holdfast.judges.degenerate import is_degenerate
from holdfast.judges.refusal_prefix import refuses
from holdfast.judges.verdict import VerdictRow
from holdfast.results.figures.draw import write_figure
from holdfast.results.measured.files import content_of
from holdfast.results.measured.inputs import Context, read_inputs
from holdfast.results.summary import Outputs, summarize
from holdfast.results.tables.build import build_table, save_table
from holdfast.results.tables.render.terminal import pages
from holdfast.settings.figures import FigureSettings
from holdfast.settings.labels import Labels
from holdfast.settings.perturbations import Perturbation
from holdfast.settings.tables import TableSettings


def make_summary(
    *,
    names: tuple[str, str, int],
    base: Path,
    behaviors: Path,
    benign: Path,
    perturbation: tuple[str, Perturbation],
    completions: Path,
    utility: Path,
    verdicts: Mapping[str, Path],
    judge_labels: Mapping[str, str],
) -> dict[str, object]:
    """Return the content of summary.json for one (model, arm, seed) under one perturbation.

    ``base`` is the base model's folder.
    """
    model, arm, seed = names
    about, measured = read_json(base / "model.json"), read_typed(UtilityFile, utility)
    name, settings = perturbation
    outputs = Outputs(read_rows(CompletionRow, completions), measured, settings.noise_seeds(seed))
    summary = summarize(
        model=model,
        arm=arm,
        seed=seed,
        weights=measured.weights,
        behaviors=[row["id"] for row in read_jsonl(behaviors)],
        behaviors_sha256=sha256(behaviors),
        benign=[row["id"] for row in read_jsonl(benign)],
        outputs={name: outputs},
        verdicts={judge: read_rows(VerdictRow, path) for judge, path in verdicts.items()},
        judge_labels=judge_labels,
        is_degenerate=is_degenerate,
        refuses=refuses,
        meaningless=about["meaningless"],
        versions=versions(),
        dtype=about["dtype"],
    )
    return content_of(summary)


def make_table(
    name: str,
    settings: TableSettings,
    labels: Labels,
    inputs: Sequence[Path],
    prefix: str,
    behaviors: Sequence[Path] = (),
    meaningless: bool = False,
) -> None:
    """Write ``<prefix>.csv``, ``.md``, ``.tex``, ``.html`` and, for the terminal, ``.txt``.

    ``behaviors``: the file of the behaviors, for a table that names them.
    """
    context = Context(labels, meaningless)
    table = build_table(name, settings, read_inputs(inputs, behaviors), context)
    save_table(table, prefix)
    write_text(f"{prefix}.txt", pages(table))


def make_figure(
    name: str,
    settings: FigureSettings,
    labels: Labels,
    inputs: Sequence[Path],
    prefix: str,
    meaningless: bool,
) -> None:
    """Write ``<prefix>.svg`` and ``<prefix>.png``."""
    write_figure(name, settings, read_inputs(inputs), prefix, Context(labels, meaningless))
