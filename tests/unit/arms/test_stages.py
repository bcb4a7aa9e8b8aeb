"""A stage is a settings class and a module of its name: nothing else has to know of it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
import torch

import tiny_llama
from holdfast.arms.load import load_arm
from holdfast.arms.moves import make_move
from holdfast.arms.stages import stage_module, stage_of
from holdfast.checkpoints.records import ArmRecord
from holdfast.engine.cost import Usage
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.settings.arms import STAGES, _Swept, read_move
from holdfast.settings.stages import FirstOrder, Move, SmoothedFirstOrder, ZerothOrder

ABOUT = {"source": "checkpoint", "revision": None, "trust_remote_code": False, "dtype": "float32"}


class Scale(Move):
    """Every weight, times a factor."""

    factor: float = 2.0


class ScaleArm(_Swept, Scale):
    """An arm that a module of its own makes."""

    move_type = Scale
    stage: Literal["scale"]


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that the package does not have."""
    module = ModuleType("holdfast.arms.scale")

    def make(made: Path, settings: Scale, **_: Any) -> Usage:
        write_json(made / "scale.json", settings.factor)
        return Usage(wall_s=1000.0, peak_memory_bytes=0, memory_kind="", device="")

    @torch.no_grad()
    def apply(model: Any, folder: Path, record: ArmRecord) -> None:
        assert record.settings_of(Scale, folder).factor == read_json(folder / "scale.json")
        for parameter in model.parameters():
            parameter.mul_(read_json(folder / "scale.json"))

    module.__dict__.update(make=make, apply=apply)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(STAGES, "scale", ScaleArm)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    tiny_llama.model().save_pretrained(folder / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(folder / "checkpoint")
    write_json(folder / "model.json", ABOUT)
    return folder


@pytest.mark.usefixtures("scale")
def test_an_arm_of_a_new_stage_is_made_and_loaded(base: Path, tmp_path: Path) -> None:
    weights = tmp_path / "scaled"
    cost = make_move(Scale(factor=3.0), parent=base, other=None, seed=0, weights=weights)
    assert cost.stage == "scale"
    assert cost.wall_s > 1000
    assert read_json(weights / "arm.json")["stage"] == "scale"
    start = tiny_llama.state(load_arm(base).model)
    for name, tensor in tiny_llama.state(load_arm(weights).model).items():
        torch.testing.assert_close(tensor, 3 * start[name])


def test_an_arm_of_a_stage_that_there_is_not_is_told(base: Path, tmp_path: Path) -> None:
    weights = tmp_path / "scaled"
    weights.mkdir()
    write_json(weights / "arm.json", {"stage": "os", "parent": str(base)})
    with pytest.raises(HoldfastError, match=r"damaged or edited \(stage: .*known: first_order"):
        load_arm(weights)


def test_every_stage_has_a_module_with_what_its_arms_need() -> None:
    for stage, arm in STAGES.items():
        module = stage_module(stage)
        assert callable(module.make)
        assert hasattr(module, "apply") == (arm.makes != "checkpoint")
        assert stage_of(arm.move_type.model_construct()) == stage


def test_settings_tell_their_stage() -> None:
    for move in (FirstOrder(steps=3), SmoothedFirstOrder(rho=0.1)):
        assert type(read_move("checkpoint", move.model_dump(mode="json"))) is type(move)
        assert read_move("checkpoint", move.model_dump(mode="json")) == move
    refinement = ZerothOrder(steps=3)
    assert read_move("replay_log", refinement.model_dump(mode="json")) == refinement
