"""Summaries under one perturbation each become the run of an arm."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.results.measured.merged import merged


def summary(arm: str, perturbation: str, **changes: Any) -> dict[str, Any]:
    whose = {"model": "m", "arm": arm, "seed": 0, "weights": arm, "schema": 1, "dtype": "float32"}
    return {
        **whose,
        "behaviors": 3,
        "behaviors_sha256": "x",
        "meaningless": False,
        "metrics": {"asr": {"label": "ASR"}, "perplexity": {"label": "PPL"}},
        "cells": [{"perturbation": perturbation}],
        **changes,
    }


def test_an_arm_is_one_run_in_the_order_of_its_first_file() -> None:
    cost = {"wall_s": 1.0}
    run = merged([summary("b", "none"), cost, summary("a", "none"), summary("b", "noise")])
    assert [content.get("arm") for content in run] == ["b", None, "a"]
    assert [cell["perturbation"] for cell in run[0]["cells"]] == ["none", "noise"]


def test_metrics_are_those_that_every_part_has() -> None:
    less = summary("a", "noise", metrics={"asr": {"label": "ASR"}}, meaningless=True)
    (run,) = merged([summary("a", "none"), less])
    assert list(run["metrics"]) == ["asr"]
    assert run["meaningless"]


@pytest.mark.parametrize("key", ["weights", "behaviors_sha256", "dtype"])
def test_parts_of_different_runs_are_refused(key: str) -> None:
    with pytest.raises(HoldfastError, match=rf"m/a/seed0: .* are of different {key}"):
        merged([summary("a", "none"), summary("a", "noise", **{key: "other"})])
