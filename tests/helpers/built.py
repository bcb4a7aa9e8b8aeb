"""Tables and figures built from the content of files, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.results.figures import draw
from holdfast.results.measured.inputs import Behaviors, Context, Inputs
from holdfast.results.tables import build
from holdfast.results.tables.grid import Table
from holdfast.settings.labels import Labels

# What only the content of each kind of file has.
MARKS = {
    "cells": "summaries",
    "stage": "costs",
    "plus": "gaps",
    "steps": "histories",
    "top": "selections",
    "required": "agreements",
}


def inputs_of(files: Sequence[Mapping[str, Any]], behaviors: Behaviors | None = None) -> Inputs:
    """Sort the content of files by what they are."""
    found: dict[str, list[Any]] = {}
    for content in files:
        kind = next(name for mark, name in MARKS.items() if mark in content)
        found.setdefault(kind, []).append(content)
    return Inputs(**found, behaviors=behaviors)


def build_table(
    name: str,
    settings: Any,
    files: Sequence[Mapping[str, Any]],
    labels: Labels | None = None,
    behaviors: Behaviors | None = None,
    *,
    meaningless: bool = False,
) -> Table:
    context = Context(labels or Labels(), meaningless)
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
    context = Context(labels or Labels(), meaningless)
    draw.write_figure(name, settings, inputs_of(files), prefix, context)
