"""What a killed job left is used for the very same weights alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_llama
from holdfast.checkpoints.records import describe_arm
from holdfast.files.atomic import write_json, write_jsonl
from holdfast.gap import make as gap
from holdfast.layers.make import make_scores
from holdfast.settings.gap import GapSettings
from holdfast.settings.selections import Robustness
from holdfast.settings.stages import Recast

ABOUT = {"source": "checkpoint", "revision": None, "trust_remote_code": False, "dtype": "float32"}


@pytest.fixture
def lineage(tmp_path: Path) -> list[Path]:
    """An arm whose folder holds a line of JSON, and its parent."""
    arm, base = tmp_path / "arm", tmp_path / "base"
    tiny_llama.tokenizer().save_pretrained(base / "checkpoint")
    write_json(base / "model.json", ABOUT)
    write_jsonl(tmp_path / "pairs.jsonl", [{"prompt": f"w{n}", "response": "w3"} for n in range(4)])
    arm.mkdir()
    describe_arm(arm, arm, "recast", base, 0, Recast(dtype="bfloat16"))
    return [arm, base]


def scores(**common: Any) -> Any:
    return make_scores(
        Robustness(draws=2, samples=4, quant_group_size=8), **common, layers=range(3)
    )


def gaps(**common: Any) -> Any:
    settings = GapSettings(rho=[0.02], draws=2, samples=4, gradient_copies=4)
    return gap.make_gap(settings, **common).model_dump()


@pytest.mark.parametrize("measured", [scores, gaps])
def test_a_parent_that_was_replaced_leaves_nothing_to_resume_from(
    lineage: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[..., Any],
) -> None:
    monkeypatch.setattr(gap.shutil, "rmtree", lambda *_, **__: None)  # as if killed before

    def run(seed: int, scratch: str) -> Any:
        tiny_llama.model(seed=seed).save_pretrained(lineage[1] / "checkpoint")
        paths = {"data": tmp_path / "pairs.jsonl", "scratch": tmp_path / scratch}
        return measured(lineage=lineage, **paths, max_length=64, seed=0)

    old, new = run(0, "used"), run(1, "used")
    assert run(1, "fresh") == new != old
    assert run(1, "used") == new
