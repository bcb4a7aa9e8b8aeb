"""The minutes that jobs ask for: what they grow with, and that they hold what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.config import load_settings
from holdfast.engine.shape import shape_of
from holdfast.plan.runtime import TYPICAL, Runtime
from holdfast.settings.run import Settings
from places import ROOT

LLAMA = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
WORLD = {"pocket": {"pocket": {}}}


def settings(**changes: Any) -> Settings:
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    return load_settings(config | changes)


@pytest.fixture
def large(tmp_path: Path) -> dict[str, Any]:
    """The embedded world and Llama-3-8B in one config, on one card a job."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    llama = {"path": str(tmp_path), "layers": 32, "dtype": "bfloat16"}
    return {"models": WORLD | {"llama": llama}, "gpus": 1}


def test_small_models_ask_for_little_more_than_a_start() -> None:
    small = settings()
    runtime = Runtime(small)
    for minutes in (
        runtime.first_order("pocket", "fo"),
        runtime.zeroth_order("pocket", "zo"),
        runtime.layer_scores("pocket", "robustness"),
        runtime.quantize("pocket", "w4a16"),
        runtime.evaluate("pocket", small.perturbations.values()),
        runtime.judge(small.judges, small.perturbations.values()),
        runtime.points("pocket", 4, small.perturbations.values()),
        runtime.files("pocket"),
    ):
        assert 15 < minutes <= 60  # each takes seconds to a minute on one core


def test_a_model_that_nothing_describes_is_taken_for_eight_billion_parameters() -> None:
    assert shape_of(LLAMA, "bfloat16") == TYPICAL.__class__(
        **(TYPICAL.__dict__ | {"context": shape_of(LLAMA, "bfloat16").context})
    )
    assert TYPICAL.parameters == pytest.approx(8.03e9, rel=0.001)
    hub = {"hub": "meta/llama", "revision": "a" * 40, "layers": 32, "dtype": "bfloat16"}
    asked = settings(models=WORLD | {"llama": hub}, gpus=1)
    assert Runtime(asked).files("llama") == 15 + 9  # 16 GB six times at 200 MB/s


def test_training_time_is_that_of_its_operations_and_checkpoints(large: dict[str, Any]) -> None:
    world = settings(**large)
    move = world.arms["fo"]
    tokens = 100 * 8 * world.data.max_length
    operations = 6 * TYPICAL.parameters * tokens / 5e12  # float32, as the embedded world's arm asks
    files = 5 * 4 * TYPICAL.parameters / 2e8  # every 25 steps, and at the end
    assert (getattr(move, "steps", 0), getattr(move, "compute", "")) == (100, "float32")
    expected = 15 + (operations + files) / 60
    assert Runtime(world).first_order("llama", "fo") == pytest.approx(expected, abs=1)
    two = Runtime(settings(**large | {"gpus": 2})).first_order("llama", "fo")
    assert two == pytest.approx(15 + (operations / 2 + files) / 60, abs=1)


def test_time_grows_with_what_is_asked_for(large: dict[str, Any]) -> None:
    world = settings(**large)
    runtime, every = Runtime(world), world.perturbations
    none, noise = ([every[name]] for name in ("none", "weight_noise"))
    one, nine = (runtime.evaluate("llama", asked) - 15 for asked in (none, noise))
    assert nine == pytest.approx(9 * one, rel=0.1)
    assert runtime.points("llama", 4, noise) > 3 * runtime.points("llama", 1, noise) - 45
    assert runtime.quantize("llama", "w4a16") > runtime.files("llama")
    assert runtime.layer_scores("llama", "robustness") > runtime.layer_scores("llama", "snip")
    losses = Runtime(settings(**large, gap={"gradient_copies": 0, "draws": 32}))
    assert losses.gap("llama") < runtime.gap("llama")
    slow = Runtime(settings(**large | {"gpus": 0}))
    assert slow.zeroth_order("llama", "zo") > 10 * runtime.zeroth_order("llama", "zo")


def test_judges_without_a_model_read_in_no_time(large: dict[str, Any]) -> None:
    world = settings(**large)
    every = world.perturbations.values()
    assert Runtime(world).judge(["refusal_prefix"], every) == 15


def test_fine_tuning_and_smoothed_training_count_their_passes(large: dict[str, Any]) -> None:
    tuned = {"kind": "finetune", "source": {"path": "pairs.json"}, "levels": [50, 100]}
    smoothed = {"stage": "smoothed_first_order", "from": "fo", "rho": 0.001, "steps": 100}
    world = settings(**large)
    base = {name: arm.model_dump(by_alias=True) for name, arm in world.arms.items()}
    plain = base["fo"] | {"stage": "smoothed_first_order"} | smoothed | {"sweep": {}}
    arms = base | {"one": plain | {"copies": 1}, "eight": plain | {"copies": 8}}
    runtime = Runtime(settings(**large, arms=arms))
    files = 5 * 4 * TYPICAL.parameters / 2e8 / 60
    one, eight = (runtime.first_order("llama", arm) - 15 - files for arm in ("one", "eight"))
    assert eight == pytest.approx(8 * one, rel=0.05)
    every = {n: p.model_dump() for n, p in world.perturbations.items()} | {"tuned": tuned}
    assert Runtime(settings(**large, perturbations=every)).finetune("llama", "tuned") > 30
    assert runtime.factors("llama") > runtime.files("llama")
