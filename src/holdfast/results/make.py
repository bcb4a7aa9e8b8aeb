"""From a run's files to a summary, a table or a figure: read, build, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.files.atomic import (
    read_json,
    read_jsonl,
    sha256,
    write_text,
)
from holdfast.files.manifest import versions
from holdfast.judges.degenerate import is_degenerate
from holdfast.judges.refusal_prefix import refuses
from holdfast.results.figures.draw import write_figure
from holdfast.results.measured.merged import merged
from holdfast.results.summary import Outputs, summarize
from holdfast.results.tables.build import AnyTable, write_table
from holdfast.results.tables.flips import Behaviors
from holdfast.results.tables.render.terminal import pages
from holdfast.settings.figures import FigureSettings
from holdfast.settings.labels import Labels
from holdfast.settings.perturbations import Perturbation


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
) -> dict[str, Any]:
    """Return the content of summary.json for one (model, arm, seed) under one perturbation.

    ``base`` is the base model's folder.
    """
    model, arm, seed = names
    about, measured = read_json(base / "model.json"), read_json(utility)
    name, settings = perturbation
    outputs = Outputs(read_jsonl(completions), measured, settings.noise_seeds(seed))
    return summarize(
        model=model,
        arm=arm,
        seed=seed,
        weights=measured["weights"],
        behaviors=[row["id"] for row in read_jsonl(behaviors)],
        behaviors_sha256=sha256(behaviors),
        benign=[row["id"] for row in read_jsonl(benign)],
        outputs={name: outputs},
        verdicts={judge: read_jsonl(path) for judge, path in verdicts.items()},
        judge_labels=judge_labels,
        is_degenerate=is_degenerate,
        refuses=refuses,
        meaningless=about["meaningless"],
        versions=versions(),
        dtype=about["dtype"],
    )


def make_table(
    name: str,
    settings: AnyTable,
    labels: Labels,
    inputs: Sequence[Path],
    prefix: str,
    behaviors: Sequence[Path] = (),
    meaningless: bool = False,
) -> None:
    """Write ``<prefix>.csv``, ``.md``, ``.tex``, ``.html`` and, for the terminal, ``.txt``.

    ``behaviors``: the file of the behaviors, for a table that names them.
    """
    named = [Behaviors(read_jsonl(path), sha256(path)) for path in behaviors]
    found = merged([read_json(path) for path in inputs])
    table = write_table(name, settings, found, prefix, labels, *named, meaningless=meaningless)
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
    found = merged([read_json(path) for path in inputs])
    write_figure(name, settings, found, prefix, labels, meaningless=meaningless)
