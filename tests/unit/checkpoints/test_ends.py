"""Odd generation settings: the tokens are kept, and the model can be loaded and saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tiny_llama
from holdfast.arms.load import load_arm
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.ends import generation_tokens
from holdfast.checkpoints.export import save_checkpoint, try_saving
from holdfast.engine.generation import stop_tokens
from holdfast.errors import HoldfastError
from holdfast.settings.models import ModelSettings

ODD: dict[str, dict[str, Any]] = {  # as published checkpoints have them
    "beams": {"num_beams": 1, "early_stopping": True, "length_penalty": 2.0, "eos_token_id": 2},
    "temperature": {"_from_model_config": True, "eos_token_id": 2, "temperature": 0.9},
    "no-sampling": {"do_sample": False, "temperature": 0.0, "eos_token_id": 2},
    "several-answers": {"num_return_sequences": 2, "eos_token_id": 2},
    "sampling": {"do_sample": True, "eos_token_id": [2, 7], "repetition_penalty": 1.05},
    "zero-temperature": {"do_sample": True, "temperature": 0.0, "eos_token_id": 2},
    "stop-strings": {"eos_token_id": 2, "stop_strings": ["###"], "suppress_tokens": [3]},
    "unknown-cache": {"eos_token_id": 2, "cache_implementation": "nonsense"},
    "watermark": {"eos_token_id": 2, "watermarking_config": {"x": 1}},
    "length": {"eos_token_id": 2, "max_new_tokens": -1, "max_length": 4096},
    "negative": {"eos_token_id": -1, "pad_token_id": -1},
    "none": {},
}


def checkpoint(folder: Path, generation: str) -> Path:
    tiny_llama.model().save_pretrained(folder)
    tiny_llama.tokenizer().save_pretrained(folder)
    (folder / "generation_config.json").write_text(generation, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ODD)
def test_odd_settings_neither_stop_a_model_nor_what_is_made_of_it(
    name: str, tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "source", json.dumps(ODD[name]))
    prepare_model(ModelSettings(path=str(source)), tmp_path / "model")
    loaded = load_arm(tmp_path / "model")
    given = ODD[name].get("eos_token_id")
    expected = {given} if isinstance(given, int) else set(given or ())
    assert stop_tokens(loaded.model, loaded.tokenizer) == expected - {-1} | {3}
    try_saving(loaded.model, loaded.tokenizer, tmp_path)
    save_checkpoint(loaded.model, loaded.tokenizer, tmp_path / "saved")
    kept = generation_tokens(tmp_path / "saved").eos_token_id
    assert kept == (None if given == -1 else given)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"eos_token_id": 2', "is no JSON object"),
        ("[1]", "is no JSON object"),
        ('{"eos_token_id": "</s>"}', "eos_token_id is '</s>', but a token is a number"),
    ],
)
def test_unreadable_settings_are_refused_before_anything_else(
    text: str, said: str, tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "source", text)
    with pytest.raises(HoldfastError, match=said) as told:
        prepare_model(ModelSettings(path=str(source)), tmp_path / "model", setting="models.tiny")
    assert str(told.value).startswith(f"models.tiny.path: {source}/generation_config.json")


def test_a_model_without_the_file_ends_as_its_config_says(tmp_path: Path) -> None:
    source = checkpoint(tmp_path, "{}")
    (source / "generation_config.json").unlink()
    assert generation_tokens(source).eos_token_id == 3
    config = json.loads((source / "config.json").read_text())
    nested = {"text_config": config, "eos_token_id": None}
    (source / "config.json").write_text(json.dumps(nested))
    assert generation_tokens(source).eos_token_id == 3
