"""Tables and figures built from the content of files, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.results.figures import draw
from holdfast.results.measured.files import (
    ChosenLayers,
    Cost,
    File,
    Gap,
    History,
    OracleAgreement,
    Summary,
)
from holdfast.results.measured.inputs import Behaviors, Context, Inputs
from holdfast.results.measured.pooling import Draws, Pooled, pool
from holdfast.results.measured.runs import Arms
from holdfast.results.tables import build
from holdfast.results.tables.grid import Table
from holdfast.settings.labels import Labels, PerturbationLabel

# What only the content of each kind of file has.
MARKS: dict[str, tuple[str, type[File]]] = {
    "cells": ("summaries", Summary),
    "stage": ("costs", Cost),
    "plus": ("gaps", Gap),
    "steps": ("histories", History),
    "top": ("selections", ChosenLayers),
    "required": ("agreements", OracleAgreement),
}


LABELS = Labels(
    perturbations={
        "none": PerturbationLabel(label="None"),
        "w4a16": PerturbationLabel(label="Quantization"),
        "gptq": PerturbationLabel(label="Quantization"),
        "w4a4": PerturbationLabel(label="Quantization"),
        "weight_noise": PerturbationLabel(label="Weight noise", symbol="σ"),
    }
)


def inputs_of(files: Sequence[Mapping[str, Any]], behaviors: Behaviors | None = None) -> Inputs:
    """Sort the content of files by what they are, and read it as strictly as files are."""
    found: dict[str, list[Any]] = {}
    for content in files:
        name, kind = next(MARKS[mark] for mark in MARKS if mark in content)
        found.setdefault(name, []).append(kind.model_validate(content))
    return Inputs(**found, behaviors=behaviors)


def pooled(*summaries: Mapping[str, Any], draws: Draws = "random") -> Pooled:
    """One arm's seeds as one."""
    return pool(inputs_of(summaries).summaries, draws)


def arms_of(summaries: Sequence[Mapping[str, Any]]) -> Arms:
    """The arms of a run, found by name."""
    return Arms(inputs_of(summaries).summaries)


def build_table(
    name: str,
    settings: Any,
    files: Sequence[Mapping[str, Any]],
    labels: Labels | None = None,
    behaviors: Behaviors | None = None,
    *,
    meaningless: bool = False,
) -> Table:
    context = Context(labels or LABELS, meaningless)
    return build.build_table(name, settings, inputs_of(files, behaviors), context)


def write_table(
    name: str,
    settings: Any,
    files: Sequence[Mapping[str, Any]],
    prefix: str | Path,
    labels: Labels | None = None,
    behaviors: Behaviors | None = None,
) -> Table:
    table = build_table(name, settings, files, labels, behaviors)
    build.save_table(table, prefix)
    return table


def write_figure(
    name: str,
    settings: Any,
    files: Sequence[Mapping[str, Any]],
    prefix: str | Path,
    labels: Labels | None = None,
    *,
    meaningless: bool = False,
) -> None:
    context = Context(labels or LABELS, meaningless)
    draw.write_figure(name, settings, inputs_of(files), prefix, context)
