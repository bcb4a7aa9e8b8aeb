"""Summaries under one perturbation each become the run of an arm."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.results.measured.files import MeasuredMetric, Summary, SummaryCell
from holdfast.results.measured.merged import merged

ASR = MeasuredMetric(kind="asr", better="lower", label="ASR")
PPL = MeasuredMetric(kind="perplexity", better="lower", label="PPL")


def summary(arm: str, perturbation: str, **changes: Any) -> Summary:
    cell = SummaryCell(
        perturbation=perturbation, level="", draws=1, noise_seeds=[], outcomes={"asr": ["010"]}
    )
    whose = {"model": "m", "arm": arm, "seed": 0, "weights": arm, "dtype": "float32"}
    of = {"release": 2, "behaviors": 3, "behaviors_sha256": "x", "versions": {}}
    metrics = {"asr": ASR, "perplexity": PPL}
    content = {**whose, **of, "meaningless": False, "metrics": metrics, "cells": [cell]}
    return Summary(**{**content, **changes})


def test_an_arm_is_one_run_in_the_order_of_its_first_file() -> None:
    runs = merged([summary("b", "none"), summary("a", "none"), summary("b", "noise")])
    assert [run.arm for run in runs] == ["b", "a"]
    assert [cell.perturbation for cell in runs[0].cells] == ["none", "noise"]


def test_metrics_are_those_that_every_part_has() -> None:
    less = summary("a", "noise", metrics={"asr": ASR}, meaningless=True)
    (run,) = merged([summary("a", "none"), less])
    assert list(run.metrics) == ["asr"]
    assert run.meaningless


@pytest.mark.parametrize("key", ["weights", "behaviors_sha256", "dtype"])
def test_parts_of_different_runs_are_refused(key: str) -> None:
    with pytest.raises(HoldfastError, match=rf"m/a/seed0: .* are of different {key}"):
        merged([summary("a", "none"), summary("a", "noise", **{key: "other"})])
