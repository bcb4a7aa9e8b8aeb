"""What the rules ask for, from the whole settings of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.config import load_settings
from holdfast.engine import memory as estimate
from holdfast.engine.shape import shape_of
from holdfast.plan.resources import UNKNOWN, Memory, Resources
from holdfast.settings.run import Settings
from places import ROOT
from shapes import LLAMA_3_8B

WORLD = {"pocket": {"pocket": {}}}


def settings(**changes: Any) -> Settings:
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    return load_settings(config | changes)


def test_the_embedded_world_is_known_before_it_is_made() -> None:
    resources = Resources(settings())
    for memory in (
        resources.first_order("pocket", "fo"),
        resources.zeroth_order("pocket", "zo"),
        resources.zeroth_order("pocket", "zo_robust"),
        resources.layer_scores("pocket", "robustness"),
        resources.quantize("pocket", "w4a16"),
        resources.evaluate("pocket", ["none", "weight_noise"]),
        resources.judge(["harmbench", "llamaguard"]),
    ):
        assert memory.gpu_mem_mb == 0
        assert 2000 < memory.mem_mb < 5000
    assert resources.judge(["refusal_prefix"]) == Memory(0, 2560)


@pytest.fixture
def llama(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B))
    return {"path": str(tmp_path), "layers": 32, "dtype": "bfloat16"}


def test_gpu_jobs_ask_for_memory_of_each_card(llama: dict[str, Any]) -> None:
    shape = shape_of(LLAMA_3_8B, "bfloat16")
    one, two = (Resources(settings(models=WORLD | {"llama": llama}, gpus=n)) for n in (1, 2))
    whole = one.zeroth_order("llama", "zo")
    robust = one.zeroth_order("llama", "zo_robust")
    assert 50_000 < whole.gpu_mem_mb < 60_000
    assert 17_000 < robust.gpu_mem_mb < 26_000
    assert two.zeroth_order("llama", "zo").gpu_mem_mb == pytest.approx(
        whole.gpu_mem_mb / 2, rel=0.02
    )
    assert whole.mem_mb == two.zeroth_order("llama", "zo").mem_mb
    noisy = one.evaluate("llama", ["none", "weight_noise"]).gpu_mem_mb
    calm = one.evaluate("llama", ["none"]).gpu_mem_mb
    assert noisy - calm == pytest.approx(1.1 * shape.weights / estimate.MIB, rel=0.01)
    trained = one.first_order("llama", "fo")
    assert trained.gpu_mem_mb > 70_000
    assert trained.mem_mb > 48_000  # float32 weights, while a state is written
    processors = Resources(settings(models=WORLD | {"llama": llama})).zeroth_order("llama", "zo")
    assert processors.gpu_mem_mb == 0
    assert processors.mem_mb > whole.gpu_mem_mb


def test_a_model_that_nothing_describes_asks_for_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    hub = {"hub": "meta/llama", "revision": "a" * 40, "layers": 32}
    resources = Resources(settings(models=WORLD | {"llama": hub}, gpus=1))
    assert resources.zeroth_order("llama", "zo") == UNKNOWN
    assert resources.first_order("llama", "fo") == UNKNOWN
    assert resources.evaluate("llama", ["none"]) == UNKNOWN
    assert resources.layer_scores("llama", "snip") == UNKNOWN
    assert resources.quantize("llama", "w4a16") == UNKNOWN
