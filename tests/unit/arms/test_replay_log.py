"""A zeroth-order log of any content: the logged weights, or one sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny_llama
from fuzzing import fuzzed, places, told_or
from holdfast.arms.load import load_arm
from holdfast.arms.replay import replay
from holdfast.arms.zeroth_order import refine
from holdfast.checkpoints.load import base_of
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.settings.stages import ZerothOrder

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        [[], {}, [0], [0, 0], [99], 1e308, 3e38, -1e38, 10**30, "NaN", "\ud800", "../x"]
    ),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The log of two steps on the last layer."""
    journal = tmp_path_factory.mktemp("log") / "journal"
    move = ZerothOrder(steps=2, directions=2, momentum=0.5, learning_rate=0.01)
    log = refine(
        tiny_llama.model(), tiny_llama.examples(8), move, layers=[2], seed=3, journal=journal
    )
    return dict(json.loads(json.dumps(log)))


def change(data: st.DataObject, log: dict[str, Any]) -> dict[str, Any]:
    """Replace, remove or add one or two values anywhere in a log."""
    log = copy.deepcopy(log)
    for _ in range(data.draw(st.integers(1, 2))):
        *folders, last = data.draw(st.sampled_from(places(log)))
        holder: Any = log
        for folder in folders:
            holder = holder[folder]
        what = data.draw(st.sampled_from(["replace", "replace", "scale", "remove", "add"]))
        if what == "scale" and isinstance(holder[last], float):
            holder[last] *= data.draw(st.sampled_from([-1, 0, 2, 1e30, 1e300]))
        elif what == "remove":
            del holder[last]
        elif what == "add" and isinstance(holder, dict):
            holder[data.draw(st.text(max_size=3))] = data.draw(values)
        elif what == "add":
            holder.append(data.draw(st.sampled_from(holder) | values if holder else values))
        else:
            holder[last] = data.draw(values)
        if not log:
            break
    return log


PARENT = tiny_llama.model()
START = tiny_llama.state(PARENT)


@fuzzed
@given(st.data())
def test_any_log_makes_finite_weights_or_a_sentence(
    written: dict[str, Any], data: st.DataObject
) -> None:
    log = change(data, written)
    with torch.no_grad():
        for name, parameter in PARENT.named_parameters():
            parameter.copy_(START[name])

    def replayed() -> bool:
        replay(PARENT, log)
        return True

    if told_or(replayed):
        assert all(bool(parameter.isfinite().all()) for parameter in PARENT.parameters())


@pytest.mark.parametrize("log", [None, 3, "log", [], {}, [{}], {"noise_stream": None}])
def test_what_is_no_log_is_told(log: Any) -> None:
    with pytest.raises(HoldfastError, match="a zeroth-order log was damaged"):
        replay(tiny_llama.model(), log)


EDITS = {
    "a setting taken out": lambda log: log["settings"].pop("momentum"),
    "a step taken out": lambda log: log["steps"].pop(),
    "steps in another order": lambda log: log["steps"].reverse(),
    "a step twice": lambda log: log["steps"].append(log["steps"][1]),
    "a direction taken out": lambda log: log["steps"][0]["coefficients"].pop(),
    "other layers": lambda log: log.update(layers=[1, 2]),
    "all layers": lambda log: log.update(layers=None),
    "text for a number": lambda log: log["steps"][0].update(clip="1"),
    "an unknown key": lambda log: log.update(extra=1),
    "another stage": lambda log: log.update(arm="first_order"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_log_is_refused_before_a_weight_moves(written: dict[str, Any], edit: Any) -> None:
    log = copy.deepcopy(written)
    edit(log)
    model = tiny_llama.model()
    with pytest.raises(HoldfastError, match="was damaged or edited"):
        replay(model, log)
    assert tiny_llama.same_bits(tiny_llama.state(model), START)


@pytest.fixture
def arm(tmp_path: Path, written: dict[str, Any]) -> Path:
    """A refined arm and its base model, as a run stores them."""
    tiny_llama.model().save_pretrained(tmp_path / "base" / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(tmp_path / "base" / "checkpoint")
    base = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(tmp_path / "base" / "model.json", base | {"dtype": "float32"})
    (tmp_path / "arm").mkdir()
    write_json(tmp_path / "arm" / "arm.json", {"stage": "zeroth_order", "parent": "../base"})
    write_json(tmp_path / "arm" / "replay.json", written)
    return tmp_path / "arm"


RECORDS = {
    ("arm.json", "stage"): [None, 3, "original", "../x"],
    ("arm.json", "parent"): [None, 3, "", "nowhere", [], "\0"],
    ("../base/model.json", "dtype"): [None, "load", "float64", 3],
    ("../base/model.json", "source"): [None, "", 3, "/nowhere"],
    ("../base/model.json", "revision"): [3, "main", "../x", "0" * 40],
    ("../base/model.json", "trust_remote_code"): [None, "yes", 1, True],
    ("replay.json", "layers"): [[7], [], "all", [-1], {}],
    ("replay.json", "parent"): [None, "", "0" * 64],
    ("replay.json", "curvature"): [None, {}, 3, {"loss": 1.0, "trace": "2"}],
}


@pytest.mark.parametrize(("name", "key"), RECORDS, ids=lambda part: str(part))
def test_a_damaged_record_is_told(arm: Path, name: str, key: str) -> None:
    load_arm(arm)
    whole = read_json(arm / name)
    for value in [..., *RECORDS[name, key]]:
        changed = {k: v for k, v in whole.items() if k != key}
        write_json(arm / name, changed if value is ... else changed | {key: value})
        with pytest.raises(HoldfastError):
            load_arm(arm)
    for text in ("", "3", "[]", "{}", "NaN", "{"):
        (arm / name).write_text(text)
        with pytest.raises(HoldfastError):
            load_arm(arm)


def test_an_arm_that_descends_from_itself_is_told(arm: Path) -> None:
    write_json(arm / "arm.json", {"stage": "zeroth_order", "parent": "../arm"})
    for load in (load_arm, base_of):
        with pytest.raises(HoldfastError, match="descends from itself"):
            load(arm)
