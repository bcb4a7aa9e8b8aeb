"""Summaries of a small run, and the settings and rows of tables made of them."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

from pydantic import TypeAdapter

from holdfast.results.tables.grid import Table
from holdfast.results.tables.tidy import to_csv
from holdfast.settings.tables import TableSettings

JUDGES = {"harmbench": "HarmBench ASR", "llamaguard": "LlamaGuard3 ASR"}
CELLS = [("none", "", 1), ("w4a16", "W4A16", 1), ("weight_noise", "1", 3), ("weight_noise", "2", 3)]


def entry(kind: str, label: str) -> dict[str, str]:
    return {"kind": kind, "better": "higher" if kind == "accuracy" else "lower", "label": label}


METRICS = {
    **{judge: entry("asr", label) for judge, label in JUDGES.items()},
    "perplexity": entry("perplexity", "PPL"),
    "lm_eval": entry("accuracy", "lm-eval"),
    "over_refusal": entry("rate", "Over-refusal"),
}


def summary(arm: str = "original", *, model: str = "m", n: int = 40, **changes: Any) -> Any:
    """A run's summary with outcomes drawn from a seed of its name."""
    rng = random.Random(f"{model}{arm}")  # noqa: S311

    def bits(draws: int, size: int, chance: float) -> list[str]:
        return ["".join("01"[rng.random() < chance] for _ in range(size)) for _ in range(draws)]

    rows = [
        {
            "perturbation": perturbation,
            "level": level,
            "draws": draws,
            "noise_seeds": [],
            "outcomes": {
                "harmbench": bits(draws, n, 0.1 + 0.1 * index),
                "llamaguard": bits(draws, n, 0.3),
                "over_refusal": bits(draws, 25, 0.1),
                "degenerate": bits(draws, n, 0),
            },
            "perplexity": [
                {"nll": [2 + index / 10 + rng.random() / 9 for _ in range(9)], "tokens": [64] * 9}
                for _ in range(draws)
            ],
            "lm_eval": {"piqa": {"metric": "acc", "scores": bits(draws, 50, 0.7)}},
        }
        for index, (perturbation, level, draws) in enumerate(CELLS)
    ]
    base = {
        "schema": 2,
        "weights": f"weights of {arm}",
        "model": model,
        "arm": arm,
        "seed": 0,
        "behaviors": n,
        "dtype": "float32",
    }
    base |= {"behaviors_sha256": "s", "meaningless": False, "versions": {}, "metrics": METRICS}
    return {**base, "cells": rows, **changes}


def settings_of(**changes: Any) -> Any:
    base = {"kind": "robustness", "title": "T", "metrics": ["perplexity", "lm_eval", *JUDGES]}
    base["sections"] = [{"arm": "zo", "reference": {"arm": "fo"}}]
    return TypeAdapter(TableSettings).validate_python({**base, **changes})


RUN = [summary("original"), summary("fo"), summary("zo")]


def records(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table.records))))
