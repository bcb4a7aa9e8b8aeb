"""Evaluations of an arm: an addition computes only what is new."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import tiny_llama
from holdfast.evaluation import evaluate as module
from holdfast.evaluation.evaluate import Evaluation, evaluate
from holdfast.files.atomic import read_json, read_jsonl, write_json, write_jsonl, write_text
from holdfast.files.journal import Journal
from holdfast.settings.evaluation import Generation, Utility
from holdfast.settings.perturbations import WeightNoise

PROMPTS = [
    {"id": f"b{n}", "behavior": f"tell me w{n}", "context": "", "tags": []} for n in range(3)
]


class CountedTasks:
    """Stands for lm-eval, and counts how often it is asked."""

    asked = 0

    def __init__(self, *_: Any) -> None: ...

    def evaluate(self, *_: Any) -> dict[str, Any]:
        type(self).asked += 1
        return {}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often perplexity is measured and an arm loaded."""
    counted: Counter[str] = Counter()

    def counting(name: str, what: str) -> None:
        real = getattr(module, name)

        def count(*given: Any, **named: Any) -> Any:
            counted[what] += 1
            return real(*given, **named)

        monkeypatch.setattr(module, name, count)

    CountedTasks.asked = 0
    monkeypatch.setattr(module, "LmEval", CountedTasks)
    counting("window_nll", "perplexity")
    counting("load_arm", "loads")
    return counted


@pytest.fixture
def given(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    tiny_llama.model().save_pretrained(folder / "base" / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(folder / "base" / "checkpoint")
    about = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(folder / "base" / "model.json", about | {"dtype": "float32"})
    write_json(folder / "texts.json", [" ".join(f"w{n % 40}" for n in range(80))])
    write_jsonl(folder / "benign.jsonl", [{"id": "ok", "prompt": "tell me w9"}])
    return folder


def run(
    given: Path, levels: list[float], draws: int = 1, prompts: int = 2, bos: bool = False
) -> dict[str, Any]:
    """Evaluate in a fresh folder with the journal of before; return what was written."""
    module._live.cache_clear()
    write_jsonl(given / "behaviors.jsonl", PROMPTS[:prompts])
    asked = Evaluation(
        Generation(max_new_tokens=4, batch_size=1),
        Utility.model_validate(
            {"perplexity": {"window": 16, "bos": bos}, "lm_eval": {"tasks": {"x": {}}}}
        ),
        behaviors=given / "behaviors.jsonl",
        benign=given / "benign.jsonl",
        perplexity=given / "texts.json",
        tasks={},
    )
    evaluate(
        asked,
        WeightNoise(kind="weight_noise", levels=levels, draws=draws),
        arm=given / "base",
        weights="w",
        seed=0,
        journal=Journal(given / "journal.jsonl", {"arm": 1}),
        folder=given,
    )
    return {
        "rows": read_jsonl(given / "completions.jsonl"),
        "cells": read_json(given / "utility.json"),
    }


def test_a_new_level_computes_that_level_alone(given: Path, calls: Counter[str]) -> None:
    first = run(given, [20, 30])
    assert (calls["perplexity"], CountedTasks.asked, calls["loads"]) == (2, 2, 1)
    more = run(given, [20, 25, 30])
    assert (calls["perplexity"], CountedTasks.asked, calls["loads"]) == (3, 3, 2)
    assert [row for row in more["rows"] if row["level"] != "25"] == first["rows"]
    assert len(more["rows"]) == 3 * 3


def test_a_new_draw_computes_that_draw_alone(given: Path, calls: Counter[str]) -> None:
    first = run(given, [20], draws=2)
    more = run(given, [20], draws=3)
    assert calls["perplexity"] == 3
    assert [row for row in more["rows"] if row["draw"] < 2] == first["rows"]


def test_a_new_behavior_is_completed_and_nothing_is_measured_again(
    given: Path, calls: Counter[str]
) -> None:
    first = run(given, [20], prompts=2)
    journal = len((given / "journal.jsonl").read_text().splitlines())
    more = run(given, [20], prompts=3)
    assert calls["perplexity"] == 1
    assert len((given / "journal.jsonl").read_text().splitlines()) == journal + 1
    assert more["cells"] == first["cells"]
    assert [row for row in more["rows"] if row["id"] != "b2"] == first["rows"]


def test_what_is_finished_loads_no_model(given: Path, calls: Counter[str]) -> None:
    first = run(given, [20, 30])
    assert run(given, [20, 30]) == first
    assert calls["loads"] == 1


def test_a_fresh_run_of_all_says_the_same(given: Path, calls: Counter[str]) -> None:
    run(given, [20])
    grown = run(given, [20, 30])
    (given / "journal.jsonl").unlink()
    assert run(given, [20, 30]) == grown


@pytest.mark.usefixtures("calls")
def test_a_model_that_needs_a_beginning_in_every_window_is_told_once(
    given: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "bos_share", lambda *_: 0.08)
    run(given, [20])
    assert "perplexity:" not in capsys.readouterr().out
    monkeypatch.setattr(module, "bos_share", lambda *_: 0.24)
    run(given, [21, 22])
    said = capsys.readouterr().out
    assert (
        said.count("lowers its NLL by 24%: this model needs it, so set utility.perplexity.bos:")
        == 1
    )


def shares(written: dict[str, Any]) -> list[float | None]:
    return [cell["perplexity"]["bos_share"] for cell in written["cells"]["cells"]]


@pytest.mark.usefixtures("calls")
def test_what_a_beginning_would_take_away_is_kept_with_every_cell(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "bos_share", lambda *_: 0.24)
    assert shares(run(given, [20, 30])) == [0.24, 0.24]
    monkeypatch.setattr(module, "bos_share", lambda *_: 0.08)
    assert shares(run(given, [20, 25, 30])) == [0.24, 0.08, 0.24]  # kept in the journal too


@pytest.mark.usefixtures("calls")
def test_nothing_is_asked_of_windows_that_begin_anyway(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tiny_llama.tokenizer()
    tokenizer.add_special_tokens({"bos_token": "w0"})
    tokenizer.save_pretrained(given / "base" / "checkpoint")
    monkeypatch.setattr(module, "bos_share", lambda *_: 0.24)
    assert shares(run(given, [20], bos=True)) == [None]


@pytest.mark.usefixtures("calls")
def test_perplexity_of_an_older_journal_has_no_share(given: Path) -> None:
    first = run(given, [20])
    journal = given / "journal.jsonl"
    header, *lines = journal.read_text().splitlines()
    older = [header]
    for line in lines:
        key, value = json.loads(line.partition(" ")[2])
        if isinstance(value, dict):
            value.pop("bos_share", None)
        piece = json.dumps([key, value])
        older.append(f"{zlib.crc32(piece.encode()):08x} {piece}")
    write_text(journal, "\n".join([*older, ""]))
    again = run(given, [20])
    assert (shares(first), shares(again)) == ([0.0], [None])
    assert again["rows"] == first["rows"]
