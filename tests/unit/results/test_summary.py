"""Summaries from completions, utility and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.data.outputs import CompletionRow, UtilityFile
from holdfast.errors import HoldfastError
from holdfast.judges.verdict import VerdictRow
from holdfast.results.measured.cells import counts, find_cell
from holdfast.results.measured.files import Summary
from holdfast.results.measured.pooling import pool
from holdfast.results.summary import Outputs, summarize

IDS, BENIGN = ["a", "b", "c"], ["x", "y"]
SHARES: list[dict[str, float]] = [{"bos_share": 0.24}, {}]  # by draw; not measured of the second


def completion(level: str, draw: int, kind: str, name: str, text: str) -> CompletionRow:
    row = {"level": level, "draw": draw, "set": kind, "id": name, "completion": text}
    return CompletionRow.model_validate({**row, "tokens": 1, "finished": True})


def verdict(level: str, draw: int, name: str, answer: str) -> VerdictRow:
    place = {"perturbation": "weight_noise", "level": level, "draw": draw, "id": name}
    return VerdictRow.model_validate({**place, "verdict": answer, "score": None})


def build(change: Callable[[dict[str, Any]], object] = lambda arguments: None) -> Summary:
    """Summarize a run of one level and two draws, whose rows arrive out of order."""
    rows = [completion("2", draw, "behaviors", name, "No.") for draw in (1, 0) for name in "cab"]
    rows += [completion("2", draw, "benign", name, "Sure.") for draw in (0, 1) for name in BENIGN]
    rows[1] = rows[1].model_copy(update={"completion": "####"})
    rows[-1] = rows[-1].model_copy(update={"completion": "Sorry"})
    answers = ["yes", "no", "no", "no", "no", "unparsed"]
    places = [(draw, name) for draw in (0, 1) for name in "bca"]
    verdicts = [verdict("2", *at, said) for at, said in zip(places, answers, strict=True)]
    utility: dict[str, Any] = {
        "weights": "w",
        "cells": [
            {
                "level": "2",
                "draw": draw,
                "perplexity": {"nll": [2.0 + draw], "tokens": [7]} | SHARES[draw],
                "lm_eval": {
                    "piqa": {"metric": "acc", "scores": [1.0, 0.0]},
                    "mc2": {"metric": "acc", "scores": [0.25, 1.0]},
                },
            }
            for draw in (1, 0)
        ],
    }
    outputs = Outputs(rows, UtilityFile.model_validate(utility), {"2": [5, 6]})
    arguments: dict[str, Any] = {
        "model": "m",
        "arm": "fo",
        "seed": 0,
        "weights": "w",
        "behaviors": IDS,
        "behaviors_sha256": "s",
        "benign": BENIGN,
        "outputs": {"weight_noise": outputs},
        "verdicts": {"harmbench": verdicts},
        "judge_labels": {"harmbench": "HarmBench ASR"},
        "is_degenerate": lambda text: "##" in text,
        "refuses": lambda text: text == "Sorry",
        "meaningless": True,
        "versions": {"holdfast": "0.1.0"},
        "dtype": "float32",
    }
    change(arguments)
    return summarize(**arguments)


def test_outcomes_follow_behavior_order() -> None:
    cell = find_cell(pool([build()]), "weight_noise", "2.0")
    assert cell.outcomes["harmbench"] == ["010", "?00"]
    assert cell.outcomes["degenerate"] == ["000", "100"]
    assert cell.outcomes["over_refusal"] == ["00", "01"]
    assert (cell.draws, cell.noise_seeds) == (2, [5, 6])
    assert counts(cell, "unparsed_harmbench")[0].tolist() == [1, 0, 0]


def test_utility_is_kept_per_draw_and_binary_scores_are_packed() -> None:
    (cell,) = build().cells
    assert [draw.nll for draw in cell.perplexity] == [[2.0], [3.0]]
    assert [draw.bos_share for draw in cell.perplexity] == [0.24, None]
    assert cell.lm_eval["piqa"].scores == ["10", "10"]
    assert cell.lm_eval["mc2"].scores == [[0.25, 1.0], [0.25, 1.0]]


def test_metrics_are_those_measured() -> None:
    assert set(build().metrics) == {
        "harmbench", "perplexity", "lm_eval", "over_refusal", "degenerate", "unparsed_harmbench",
    }  # fmt: skip

    def bare(arguments: dict[str, Any]) -> None:
        outputs = arguments["outputs"]["weight_noise"]
        arguments["outputs"] = {"weight_noise": Outputs(outputs.completions)}

    assert "perplexity" not in build(bare).metrics


def drop_completion(arguments: dict[str, Any]) -> None:
    arguments["outputs"]["weight_noise"].completions.pop(0)


def drop_verdict(arguments: dict[str, Any]) -> None:
    arguments["verdicts"]["harmbench"].pop()


def repeat_completion(arguments: dict[str, Any]) -> None:
    rows = arguments["outputs"]["weight_noise"].completions
    rows.append(rows[0])


def repeat_verdict(arguments: dict[str, Any]) -> None:
    rows = arguments["verdicts"]["harmbench"]
    rows.append(rows[0])


def unknown_behavior(arguments: dict[str, Any]) -> None:
    arguments["behaviors"] = ["a", "b"]


def drop_utility(arguments: dict[str, Any]) -> None:
    arguments["outputs"]["weight_noise"].utility.cells.pop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_completion, "no completion under 'weight_noise 2', draw 1, for 'c'"),
        (drop_verdict, "judge 'harmbench' has no verdict for 'a' under weight_noise 2, draw 1"),
        (repeat_completion, "repeats id 'c'"),
        (repeat_verdict, "for 'b' under weight_noise 2 is repeated"),
        (unknown_behavior, "unknown id 'c'"),
        (drop_utility, "utility.json under 'weight_noise 2' has draws"),
    ],
)
def test_gaps_are_named(change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build(change)
