"""Nothing that a checkpoint brings along is run: no pickle, and no code but what settings allow."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError

import tiny_llama
from holdfast.arms import first_order
from holdfast.arms.load import load_arm
from holdfast.arms.training_state import CHECKPOINT as TRAINING_STATE
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.load import load_tokenizer
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.perturbations.checkpoint import load_copy, prepare_checkpoints
from holdfast.pocket import training
from holdfast.settings.judges import HarmBench, LlamaGuard
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbation import Variant
from holdfast.settings.quantization import Checkpoint
from packed_folders import awq_folder

COMMIT = "0123456789" * 4
CODE = """
from pathlib import Path
Path({touched!r}).touch()
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class Own(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = Own
class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""


class Touch:
    """What unpickles by touching a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mknod, (str(self.path),)


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    """The file that hostile content would make; it must never be there."""
    return tmp_path / "touched"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    tiny_llama.model().save_pretrained(folder)
    tiny_llama.tokenizer().save_pretrained(folder)
    return folder


def prepare(
    folder: Path, tokenizer: Literal["none", "plain", "chat"] = "chat", **more: Any
) -> Path:
    made = folder.parent / "made"
    settings = ModelSettings(path=str(folder), layers=3, **more)
    prepare_model(settings, made, setting="models.x", tokenizer=tokenizer)
    return made


def pickle_weights(folder: Path, touched: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(
        {"lm_head.weight": torch.zeros(2), "x": Touch(touched)}, folder / "pytorch_model.bin"
    )


def test_the_bait_works(touched: Path, tmp_path: Path) -> None:
    torch.save(Touch(touched), tmp_path / "x.bin")
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert touched.exists()


def test_pickled_weights_are_refused(folder: Path, touched: Path) -> None:
    pickle_weights(folder, touched)
    with pytest.raises(HoldfastError, match=r"models\.x\.path: .* has no \.safetensors file"):
        prepare(folder)
    assert not touched.exists()


def test_pickled_weights_that_an_index_names_are_refused(folder: Path, touched: Path) -> None:
    pickle_weights(folder, touched)
    index = folder / "model.safetensors.index.json"
    for name in ("pytorch_model.bin", "../model/pytorch_model.bin", "/etc/passwd", 3):
        write_json(index, {"metadata": {}, "weight_map": {"lm_head.weight": name}})
        with pytest.raises(HoldfastError, match=r"cut off or damaged|names no file of"):
            prepare(folder)
    assert not touched.exists()


def unrecorded(made: Path) -> Path:
    """Leave out what the files were, as earlier releases did, which is compared before all else."""
    record = read_json(made / "model.json")
    del record["files"]
    write_json(made / "model.json", record)
    return made


def test_weights_pickled_after_the_check_are_not_loaded(folder: Path, touched: Path) -> None:
    made = unrecorded(prepare(folder))
    pickle_weights(folder, touched)
    with pytest.raises(OSError, match="safetensors"):
        load_arm(made)
    assert not touched.exists()


def test_pickled_quantized_weights_are_refused(folder: Path, tmp_path: Path, touched: Path) -> None:
    base = prepare(folder)
    awq_folder(tmp_path / "awq")
    pickle_weights(tmp_path / "awq", touched)
    variant = {"model": "llama", "path": str(tmp_path / "awq")}
    levels = Checkpoint.model_validate({"kind": "checkpoint", "levels": {"Q": [variant]}})
    with pytest.raises(HoldfastError, match=r"has no \.safetensors file"):
        prepare_checkpoints(levels, base=base, folder=tmp_path / "out")
    assert not touched.exists()


@pytest.mark.parametrize("damage", ["pickle", "text", "another", "empty"])
def test_a_hostile_training_state_is_one_sentence(
    tmp_path: Path, touched: Path, damage: str
) -> None:
    move = first_order.FirstOrder(steps=2, compute="float32", save_every=1)
    for name in (TRAINING_STATE, training.STATE_FILE):
        state = tmp_path / name
        if damage == "pickle":
            torch.save({"identity": Touch(touched)}, state)
        elif damage == "another":
            torch.save({"identity": "x"}, state)
        else:
            state.write_text("no state" if damage == "text" else "")
    model = tiny_llama.model()
    with pytest.raises(HoldfastError, match=r"training\.pt, a training's last state"):
        first_order.train(model, tiny_llama.examples(8), move, seed=0, scratch=tmp_path)
    with pytest.raises(HoldfastError, match=r"training_state\.pt, a training's last state"):
        training.train(
            model, lambda _: torch.zeros(()), label="x", steps=1, learning_rate=0.1,
            identity={}, scratch_folder=tmp_path,
        )  # fmt: skip
    assert not touched.exists()


def own_code(folder: Path, touched: Path, *, model: bool = True, tokenizer: bool = True) -> None:
    """Let a checkpoint name code of its own that touches a file."""
    (folder / "own.py").write_text(CODE.format(touched=str(touched)))
    if model:
        auto_map = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel"}
        change = {"model_type": "own", "architectures": ["OwnModel"], "auto_map": auto_map}
        write_json(folder / "config.json", read_json(folder / "config.json") | change)
    if tokenizer:
        path = folder / "tokenizer_config.json"
        change = {"tokenizer_class": "OwnTokenizer"}
        auto_map = {"AutoTokenizer": [None, "own.OwnTokenizer"]}
        write_json(path, read_json(path) | change | {"auto_map": auto_map})


@pytest.mark.parametrize("which", ["model", "tokenizer", "both"])
def test_code_of_a_local_folder_is_never_run(folder: Path, touched: Path, which: str) -> None:
    own_code(folder, touched, model=which != "tokenizer", tokenizer=which != "model")
    with pytest.raises(HoldfastError, match=r"models\.x\.path: .* `trust_remote_code: true` of a"):
        prepare(folder)
    assert not touched.exists()


def test_code_that_is_not_needed_is_not_run_either(folder: Path, touched: Path) -> None:
    own_code(folder, touched)
    for name in ("config.json", "tokenizer_config.json"):
        found = read_json(folder / name) | {"model_type": "llama"}
        if name == "tokenizer_config.json":
            found["tokenizer_class"] = "PreTrainedTokenizerFast"
        write_json(folder / name, found)
    loaded = load_arm(prepare(folder))
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    assert not touched.exists()


def test_code_that_comes_after_the_check_is_not_run(folder: Path, touched: Path) -> None:
    made = unrecorded(prepare(folder))
    own_code(folder, touched)
    with pytest.raises(HoldfastError, match="trust_remote_code"):
        load_arm(made)
    with pytest.raises(HoldfastError, match="trust_remote_code"):
        load_tokenizer(folder)
    write_json(made / "model.json", read_json(made / "model.json") | {"trust_remote_code": True})
    with pytest.raises(HoldfastError, match="`trust_remote_code` without a revision"):
        load_arm(made)
    assert not touched.exists()


def test_code_of_a_quantized_copy_is_never_run(folder: Path, tmp_path: Path, touched: Path) -> None:
    base = prepare(folder)
    awq_folder(tmp_path / "awq")
    own = tiny_llama.tokenizer()
    own.save_pretrained(tmp_path / "awq")
    config = (tmp_path / "awq" / "config.json").read_text()
    variant = {"model": "llama", "path": str(tmp_path / "awq")}
    levels = Checkpoint.model_validate({"kind": "checkpoint", "levels": {"Q": [variant]}})
    prepare_checkpoints(levels, base=base, folder=tmp_path / "out")
    own_code(tmp_path / "awq", touched)
    with pytest.raises(HoldfastError, match="trust_remote_code"):
        prepare_checkpoints(levels, base=base, folder=tmp_path / "again")
    (tmp_path / "awq" / "config.json").write_text(config)  # the tokenizer's code is left
    with pytest.raises(HoldfastError, match="trust_remote_code"):
        prepare_checkpoints(levels, base=base, folder=tmp_path / "again")
    with pytest.raises(HoldfastError, match="trust_remote_code"):
        load_copy(unrecorded(tmp_path / "out" / "Q"), base)
    assert not touched.exists()


def test_code_of_another_repository_is_refused_even_where_code_is_allowed(
    folder: Path, touched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_code(folder, touched)
    config = read_json(folder / "config.json")
    config["auto_map"]["AutoModelForCausalLM"] = "evil/other--own.OwnModel"
    write_json(folder / "config.json", config)
    monkeypatch.setattr(
        "holdfast.checkpoints.base.fetch_snapshot", lambda *_, **__: folder, raising=True
    )
    settings = ModelSettings(hub="a/b", revision=COMMIT, layers=3, trust_remote_code=True)
    with pytest.raises(HoldfastError, match=r"code of another repository \(evil/other--own"):
        prepare_model(settings, folder.parent / "made", setting="models.x")
    assert not touched.exists()


def test_an_adapter_is_refused(folder: Path) -> None:
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": "evil/other"})
    with pytest.raises(HoldfastError, match=r"models\.x\.path: .* is an adapter to another model"):
        prepare(folder)


@pytest.mark.parametrize(
    "source",
    [
        {"path": "folder"},
        {"hub": "a/b"},
        {"hub": "a/b", "revision": "main"},
        {"pocket": {}},
        {"scratch": {}},
    ],
)
def test_code_is_allowed_for_a_pinned_model_of_the_hub_only(source: dict[str, Any]) -> None:
    model = source | {"layers": 1, "trust_remote_code": True}
    with pytest.raises(ValidationError, match=r"trust_remote_code|revision|40"):
        ModelSettings.model_validate(model)
    judges: list[Any] = [HarmBench, LlamaGuard]
    for judge in judges:
        entry = {"kind": judge.__name__.lower(), "model": model, "template": {"pocket": "a"}}
        if judge is LlamaGuard:
            del entry["template"]
        with pytest.raises(ValidationError, match=r"trust_remote_code|revision|40"):
            judge.model_validate(entry)
    with pytest.raises(ValidationError, match="trust_remote_code"):
        Variant.model_validate({"model": "m", "path": "x", "trust_remote_code": True})
    pinned = {"hub": "a/b", "revision": COMMIT, "layers": 1, "trust_remote_code": True}
    assert ModelSettings.model_validate(pinned).trust_remote_code


def test_code_is_run_where_the_settings_allow_it(
    folder: Path, touched: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one way that is open, so that the tests above are about something."""
    own_code(folder, touched, tokenizer=False)
    monkeypatch.setattr("holdfast.checkpoints.base.fetch_snapshot", lambda *_, **__: folder)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    settings = ModelSettings(hub="a/b", revision=COMMIT, layers=3, trust_remote_code=True)
    prepare_model(settings, tmp_path / "made", setting="models.x")
    assert touched.exists()
    assert json.loads((tmp_path / "made" / "model.json").read_text())["trust_remote_code"]
    shutil.rmtree(tmp_path / "hf", ignore_errors=True)
