"""Checks of the cards before a run: the stages must fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_hub import FakeHub
from holdfast.preflight import memory
from preflights import llama, settings

GIB = 2**30


def test_cards_must_hold_the_stages(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.repositories["some/llama"].files
    large = json.loads(files["config.json"]) | {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128256,
    }
    files["config.json"] = json.dumps(large).encode()
    given = settings(**llama(layers=32, dtype="bfloat16") | {"gpus": 1})
    monkeypatch.setattr(memory, "_cards", list)
    assert [one.ok for one in memory.check(given)] == [None]
    monkeypatch.setattr(memory, "_cards", lambda: [80 * GIB])
    found = {one.text.split()[0]: one.ok for one in memory.check(given)}
    assert found["first-order"] is False  # 8B in float32 with gradients: 64 GB and activations
    assert found["zeroth-order"] is True
    monkeypatch.setattr(memory, "_cards", lambda: [80 * GIB] * 8)
    assert all(one.ok for one in memory.check(given.model_copy(update={"gpus": 8})))
    (told,) = memory.check(given.model_copy(update={"gpus": 9}))
    assert told.ok is False
    assert "write gpus: 8" in told.text
