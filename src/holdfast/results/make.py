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
from holdfast.results.measured.files import content_of
from holdfast.results.measured.inputs import Context, read_inputs
from holdfast.results.summary import Outputs, summarize
from holdfast.results.tables.build import build_table, save_table
from holdfast.results.tables.render.terminal import pages
from holdfast.settings.figures import FigureSettings
from holdfast.settings.labels import Labels
from holdfast.settings.perturbations import Perturbation, noise_seed
from holdfast.settings.tables import TableSettings


def make_summary(
    *,
    names: tuple[str, str, int],
    base: Path,
    behaviors: Path,
    benign: Path,
    perturbations: Mapping[str, Perturbation],
    completions: Sequence[Path],
    utilities: Sequence[Path],
    verdicts: Mapping[str, Path],
    judge_labels: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of summary.json for one (model, arm, seed).

    ``completions`` and ``utilities`` are in the order of ``perturbations``; ``base`` is the base
    model's folder.
    """
    model, arm, seed = names
    about = read_json(base / "model.json")
    outputs = {
        name: Outputs(read_jsonl(texts), read_json(measured), _noise_seeds(settings, seed))
        for (name, settings), texts, measured in zip(
            perturbations.items(), completions, utilities, strict=True
        )
    }
    summary = summarize(
        model=model,
        arm=arm,
        seed=seed,
        behaviors=[row["id"] for row in read_jsonl(behaviors)],
        behaviors_sha256=sha256(behaviors),
        benign=[row["id"] for row in read_jsonl(benign)],
        outputs=outputs,
        verdicts={judge: read_jsonl(path) for judge, path in verdicts.items()},
        judge_labels=judge_labels,
        is_degenerate=is_degenerate,
        refuses=refuses,
        meaningless=about["meaningless"],
        versions=versions(),
        dtype=about["dtype"],
    )
    return dict(content_of(summary))


def _noise_seeds(settings: Perturbation, seed: int) -> dict[str, list[int]]:
    if settings.kind not in ("weight_noise", "activation_noise"):
        return {}
    seeds: dict[str, list[int]] = {}
    for level, draw in settings.cells:
        seeds.setdefault(level, []).append(noise_seed(seed, draw))
    return seeds


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
