"""What perturbations say of themselves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from holdfast.settings.perturbations import Perturbation

ENTRIES: dict[str, dict[str, Any]] = {
    "none": {},
    "gptq": {"levels": {"a": {}, "b": {"bits": 3}}},
    "checkpoint": {"levels": {"a": [{"model": "m", "path": "p"}], "b": []}},
    "fake_quant": {"levels": {"a": {}, "b": {}}},
    "finetune": {"source": {"path": "p"}, "levels": [5, 10]},
    "weight_noise": {"levels": [1.5, 30], "draws": 2},
    "activation_noise": {"levels": [0.1, 2], "draws": 2},
}


def entry(kind: str) -> Any:
    return TypeAdapter(Perturbation).validate_python({"kind": kind} | ENTRIES[kind])


@pytest.mark.parametrize(
    ("kind", "levels", "cells"),
    [
        ("none", [], [("", 0)]),
        ("gptq", ["b"], [("b", 0)]),
        ("checkpoint", ["a"], [("a", 0)]),
        ("fake_quant", ["b", "a"], [("a", 0), ("b", 0)]),
        ("finetune", ["10"], [("10", 0)]),
        ("weight_noise", [30], [("30", 0), ("30", 1)]),
        ("activation_noise", ["2.0"], [("2", 0), ("2", 1)]),
    ],
)
def test_some_levels_of_a_perturbation(kind: str, levels: list[Any], cells: list[Any]) -> None:
    assert entry(kind).only(levels).cells == cells


def test_only_noise_has_seeds_and_they_depend_on_no_level() -> None:
    assert entry("weight_noise").noise_seeds(3) == {"1.5": [3000, 3001], "30": [3000, 3001]}
    assert {kind for kind in ENTRIES if entry(kind).noise_seeds(0)} == {
        "weight_noise",
        "activation_noise",
    }


def test_copies_on_disk_and_what_they_are_made_from() -> None:
    makers = {kind: entry(kind).copies_by for kind in ENTRIES if entry(kind).stored}
    assert makers == {"gptq": "llm-compressor", "checkpoint": "checkpoint", "finetune": "finetune"}
    assert {kind for kind in makers if entry(kind).calibration} == {"gptq"}
    assert {kind for kind in makers if entry(kind).pairs} == {"finetune"}
    assert entry("gptq").stored_bits == [4, 3]
