"""A selection is a settings class and a module of its name: nothing else has to know of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import pytest

import tiny_llama
from holdfast.engine.batches import Example
from holdfast.files.atomic import write_json, write_jsonl
from holdfast.layers.make import make_scores, make_selection
from holdfast.settings.selections import SelectionSettings, _Selection

ABOUT = {"source": "checkpoint", "revision": None, "trust_remote_code": False, "dtype": "float32"}


class Longest(_Selection):
    """Scores a layer by what no model says: the tokens read, times its number."""

    by = "inputs"
    kind: Literal["longest"] = "longest"
    top_m: float = 2
    samples: int = 3
    batch_size: int = 1

    @property
    def pairs(self) -> int:
        return self.samples


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that the package does not have."""
    module = ModuleType("holdfast.layers.longest")

    def score_layers(
        model: Any,
        examples: Sequence[Example],
        settings: Longest,
        *,
        layers: Sequence[int],
        **_: Any,
    ) -> dict[str, float]:
        assert model.config.num_hidden_layers == len(layers)
        tokens = sum(len(example.input_ids) for example in examples)
        return {str(layer): float(layer * tokens) for layer in layers}

    module.__dict__["score_layers"] = score_layers
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("longest")
def test_a_new_kind_scores_and_selects(tmp_path: Path) -> None:
    tiny_llama.model().save_pretrained(tmp_path / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(tmp_path / "checkpoint")
    write_json(tmp_path / "model.json", ABOUT)
    write_jsonl(tmp_path / "pairs.jsonl", [{"prompt": "w1", "response": "w2"}] * 5)
    settings: Any = Longest()
    scores = make_scores(
        settings,
        lineage=[tmp_path],
        data=tmp_path / "pairs.jsonl",
        max_length=64,
        layers=range(3),
        seed=0,
        scratch=tmp_path / "scratch",
    )
    assert 0 == scores["0"] < scores["1"] < scores["2"]
    write_json(tmp_path / "scores.json", scores)
    chosen = make_selection(settings, [tmp_path / "scores.json"])
    assert chosen.top == [2, 1]
    assert list(chosen.scores) == ["longest"]


def test_a_kind_answers_for_its_work() -> None:
    kinds = {kind().kind: kind() for kind in get_args(get_args(SelectionSettings)[0])}
    assert {name: kind.layers_a_job for name, kind in kinds.items() if kind.layers_a_job} == {
        "robustness": 4
    }
    assert {name for name, kind in kinds.items() if kind.drawn} == {"robustness"}
    assert {name: kind.pairs for name, kind in kinds.items()} == {
        "robustness": 64,
        "snip": 64,
        "wanda": 64,
        "random": 0,
    }
    assert {name: kind.passes(32) for name, kind in kinds.items()} == {
        "robustness": 1 + 4 * 9,
        "snip": 3,
        "wanda": 1,
        "random": 1,
    }
    assert kinds["robustness"].passes(2) == 1 + 2 * 9
