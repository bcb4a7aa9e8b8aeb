"""Two arms are one where their logs replay to the same weights, whatever they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tiny_llama
from holdfast.arms.load import load_arm
from holdfast.arms.make import make_zeroth_order
from holdfast.arms.moves import make_move
from holdfast.arms.same_move import same_move
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json, write_jsonl
from holdfast.settings.stages import Recast, SignFlip, ZerothOrder

ABOUT = {"source": "checkpoint", "revision": None, "trust_remote_code": False, "dtype": "float32"}
ARMS: dict[str, dict[str, Any]] = {
    "zo": {},
    "same": {"cache_gib": 1.0, "max_predicted_move": 0.5},  # what no weight depends on
    "layer": {"layers": [2]},
    "all": {"layers": None},
    "seed": {"seed": 1},
    "beta": {"beta": 0.02},
    "momentum": {"momentum": 0.5},
    "decay": {"weight_decay": 0.1},
    "steps": {"steps": 3},
    "other_parent": {"parent": "base2"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for name, seed in (("base", 0), ("base2", 1)):
        tiny_llama.model(seed=seed).save_pretrained(folder / name / "checkpoint")
        tiny_llama.tokenizer().save_pretrained(folder / name / "checkpoint")
        write_json(folder / name / "model.json", ABOUT)
    pairs = [{"prompt": f"w{n} w2 w3", "response": "w4 w5"} for n in range(8)]
    write_jsonl(folder / "pairs.jsonl", pairs)
    for name, changes in ARMS.items():
        changes = {"layers": [1], "seed": 0, "parent": "base"} | changes
        layers = changes.pop("layers")
        write_json(folder / f"{name}.json", {"top": layers})
        seed, parent = changes.pop("seed"), changes.pop("parent")
        make_zeroth_order(
            ZerothOrder(**{"steps": 2, "learning_rate": 0.05, "beta": 0.01, **changes}),
            parent=folder / parent,
            data=folder / "pairs.jsonl",
            max_length=64,
            seed=seed,
            selection=folder / f"{name}.json" if layers else None,
            weights=folder / name,
            scratch=folder / "scratch" / name,
        )
    control = {"parent": folder / "base", "seed": 0}
    make_move(SignFlip(), other=folder / "zo", weights=folder / "flip", **control)
    make_move(Recast(), other=None, weights=folder / "recast", **control)
    return folder


def test_equal_logs_are_the_same_move_and_make_the_same_weights(run: Path) -> None:
    assert same_move(run / "zo", run / "same")
    first, second = (tiny_llama.state(load_arm(run / name).model) for name in ("zo", "same"))
    assert tiny_llama.same_bits(first, second)


@pytest.mark.parametrize("other", [*list(ARMS)[2:], "flip", "recast", "base"])
def test_whatever_moves_a_weight_makes_another_arm(run: Path, other: str) -> None:
    assert not same_move(run / "zo", run / other)
    assert not same_move(run / other, run / "zo")


def test_arms_without_a_log_are_not_said_to_be_the_same(run: Path) -> None:
    assert not same_move(run / "recast", run / "recast")
    assert not same_move(run / "base", run / "base")


def test_a_damaged_log_is_told(run: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "arm.json", read_json(run / "zo" / "arm.json"))
    log = read_json(run / "zo" / "replay.json")
    write_json(tmp_path / "replay.json", log | {"dimension": "many"})
    with pytest.raises(HoldfastError, match="was damaged or edited"):
        same_move(run / "zo", tmp_path)
