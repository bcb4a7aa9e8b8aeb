"""Checkpoints that lie elsewhere: loading notices that they are no longer those of the run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import tiny_llama
from holdfast.arms.load import load_arm
from holdfast.checkpoints.base import prepare_model
from holdfast.errors import HoldfastError
from holdfast.files.atomic import sha256
from holdfast.settings.models import ModelSettings


def save(folder: Path, seed: int) -> None:
    tiny_llama.model(seed=seed).save_pretrained(folder)
    tiny_llama.tokenizer().save_pretrained(folder)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "outside", seed=0)
    return tmp_path / "outside"


def prepared(outside: Path, name: str) -> Path:
    prepare_model(ModelSettings(path=str(outside), layers=3), outside.parent / name)
    return outside.parent / name


def test_a_replaced_checkpoint_is_not_loaded_and_its_record_is_another(outside: Path) -> None:
    base = prepared(outside, "base")
    dated = (outside / "model.safetensors").stat().st_mtime
    save(outside, seed=1)
    os.utime(outside / "model.safetensors", (dated - 1e6, dated - 1e6))
    with pytest.raises(HoldfastError, match=r"^model\.safetensors was replaced .*: run again, "):
        load_arm(base)
    again = prepared(outside, "again")
    load_arm(again)
    assert sha256(again) != sha256(base)  # what journals and manifests know it by


def test_a_replaced_tokenizer_is_noticed_too(outside: Path) -> None:
    base = prepared(outside, "base")
    text = (outside / "tokenizer_config.json").read_text()
    (outside / "tokenizer_config.json").write_text(text.replace("<end>", "<pad>"))
    with pytest.raises(HoldfastError, match=r"^tokenizer_config\.json was replaced"):
        load_arm(base)


def test_a_touched_checkpoint_is_the_same(outside: Path) -> None:
    base = prepared(outside, "base")
    for file in outside.iterdir():
        os.utime(file)
    load_arm(base)
    assert sha256(prepared(outside, "again")) == sha256(base)


def test_a_missing_checkpoint_is_told_as_missing(outside: Path) -> None:
    base = prepared(outside, "base")
    shutil.rmtree(outside)
    with pytest.raises(HoldfastError, match="is missing"):
        load_arm(base)
