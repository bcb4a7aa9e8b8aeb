"""Summaries with verdicts, and the tables of judges made of them."""

from __future__ import annotations

import csv
import io
from typing import Any

from pydantic import TypeAdapter

from built import build_table
from holdfast.results.measured.inputs import Behaviors
from holdfast.results.tables.grid import Table
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from holdfast.settings.labels import Labels, PerturbationLabel
from holdfast.settings.tables import TableSettings

JUDGES = {"harmbench": "HarmBench ASR", "refusal_prefix": "AdvBench ASR"}
RENDERERS = (to_html, to_latex, to_markdown, terminal)
LABELS = Labels(
    arms={"zo": "ZO", "fo": "FO"},
    perturbations={"noise": PerturbationLabel(label="Noise", symbol="σ")},
)
Outcomes = dict[str, list[str]]


def cell(perturbation: str, level: str, outcomes: Outcomes, **measured: Any) -> dict[str, Any]:
    draws = len(next(iter(outcomes.values())))
    size = len(next(iter(outcomes.values()))[0])
    others = {"degenerate": ["0" * size] * draws, "over_refusal": ["0" * 9] * draws}
    place = {"perturbation": perturbation, "level": level, "draws": draws, "noise_seeds": []}
    return {**place, "outcomes": outcomes | others, **measured}


def summary(arm: str, *found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    def metric(kind: str, label: str, better: str = "lower") -> dict[str, str]:
        return {"kind": kind, "better": better, "label": label}

    metrics = {name: metric("asr", label) for name, label in JUDGES.items()}
    metrics |= {"degenerate": metric("rate", "Degenerate")}
    metrics |= {"over_refusal": metric("rate", "Over-refusal")}
    if "perplexity" in found[0]:
        metrics["perplexity"] = metric("perplexity", "PPL")
    if "lm_eval" in found[0]:
        metrics["lm_eval"] = metric("accuracy", "lm-eval", "higher")
    size = len(found[0]["outcomes"]["harmbench"][0])
    base = {"model": "m", "arm": arm, "seed": 0, "behaviors": size, "behaviors_sha256": "s"}
    base |= {"schema": 2, "weights": f"weights of {arm}", "versions": {}, "dtype": "float32"}
    base |= {"meaningless": False, "metrics": metrics, "cells": list(found)}
    return {**base, **changes}


def settings(kind: str, **changes: Any) -> Any:
    return TypeAdapter(TableSettings).validate_python({"kind": kind, "title": "T", **changes})


def both(outcomes: list[str], other: list[str] | None = None) -> Outcomes:
    return {"harmbench": outcomes, "refusal_prefix": other or outcomes}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def texts(table: Table) -> list[list[str]]:
    return [[one.text for one in row] for block in table.blocks for row in block.rows]


HOSTILE = "=[x] *a* `b` | $y$ <script>alert(1)</script> \\input{z} & % # _ ~ ^ {} \x1b[31m \n end"


def behaviors(size: int, name: str = "b{}") -> Behaviors:
    return Behaviors([{"id": name.format(i), "category": f"c{i}"} for i in range(size)], "s")


def kappa_table(**changes: Any) -> Table:
    one = [
        cell("none", "", both(["0000"])),
        cell("noise", "1", both(["1100", "10?0"], ["1101"] * 2)),
    ]
    two = [cell("none", "", both(["0000"])), cell("noise", "2", both(["0011"], ["0?11"]))]
    run = [summary("fo", *one), summary("zo", *two, **changes)]
    return build_table("kappa", settings("judge_kappa", arms=["fo", "zo"]), run, LABELS)


QUIET = [2 + i / 50 for i in range(12)]


def measured(nll: list[float] = QUIET, scores: str = "1" * 40 + "0" * 20) -> dict[str, Any]:
    perplexity = [{"nll": nll, "tokens": [64] * len(nll)}]
    return {"perplexity": perplexity, "lm_eval": {"facts": {"metric": "acc", "scores": [scores]}}}


SAFE, UNSAFE = "0" * 50 + "1" * 10, "1" * 40 + "0" * 20
CALM = cell("none", "", both([SAFE]), **measured())


def danger(*found: dict[str, Any], **changes: Any) -> Table:
    run = [summary("fo", CALM, *found)]
    wanted = settings("hidden_danger", **{"arms": ["fo"], **changes})
    return build_table("danger", wanted, run, LABELS)
