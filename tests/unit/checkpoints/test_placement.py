"""Placement of models on cards: computed maps, and work on a model that hooks carry along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PretrainedConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import tiny_llama
from holdfast.arms.load import load_arm
from holdfast.arms.zeroth_order import refine
from holdfast.checkpoints import load, placement
from holdfast.checkpoints.placement import (
    GIB,
    SHARE,
    device_map,
    free_cards,
)
from holdfast.engine.batches import make_batches
from holdfast.engine.generation import generate
from holdfast.engine.loss import response_loss
from holdfast.engine.shape import Shape
from holdfast.engine.suffix import Suffix
from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json
from holdfast.layers import robustness, snip, wanda
from holdfast.numerics.rounding import Grid
from holdfast.perturbations.activation_noise import activation_noise
from holdfast.perturbations.fake_quant import fake_quant
from holdfast.perturbations.weight_noise import weight_noise
from holdfast.settings.selections import Robustness, Snip, Wanda
from holdfast.settings.stages import ZerothOrder

JUDGE = LlamaConfig(
    vocab_size=32000,
    hidden_size=5120,
    intermediate_size=13824,
    num_hidden_layers=40,
    num_attention_heads=40,
    dtype="bfloat16",
)


def empty(config: PretrainedConfig, kind: Any = LlamaForCausalLM) -> Any:
    with torch.device("meta"):
        return kind(config).to(torch.bfloat16)


def held(model: Any, places: dict[str, Any]) -> dict[Any, int]:
    """Bytes of weights a card; every weight must have one card."""
    total: dict[Any, int] = {}
    for name, parameter in model.named_parameters():
        (card,) = {
            card for place, card in places.items() if name.startswith(f"{place}.") or not place
        }
        total[card] = total.get(card, 0) + parameter.nbytes
    return total


def test_a_judge_of_13_billion_is_spread_over_two_cards_of_24_gib() -> None:
    model = empty(JUDGE)
    places = device_map(model, {0: 23 * GIB, 1: 23 * GIB})
    total = held(model, places)
    assert sum(total.values()) == 2 * model.num_parameters()
    assert max(total.values()) < 1.04 * min(total.values())
    layers = [places[f"model.layers.{index}"] for index in range(40)]
    assert layers == sorted(layers)
    assert (places["model.embed_tokens"], places["model.norm"], places["lm_head"]) == (0, 1, 1)
    uneven = held(model, device_map(model, {0: 8 * GIB, 1: 0, 2: 24 * GIB}))
    assert uneven[0] / uneven[2] == pytest.approx(8 / 24, abs=0.05)
    assert 1 not in uneven


def test_one_card_is_taken_where_it_suffices() -> None:
    model = empty(JUDGE)
    assert device_map(model, {0: 23 * GIB, 1: 40 * GIB, 2: 30 * GIB}) == {"": 1}
    # Work that needs a copy of the weights does not fit on the largest card.
    assert len(held(model, device_map(model, {0: 30 * GIB, 1: 40 * GIB}, needed=50 * GIB))) == 2
    with pytest.raises(
        HoldfastError, match=r"weights take 24\.2 GiB and the cards have 12\.0 \+ 11\.0 GiB free"
    ):
        device_map(model, {0: 12 * GIB, 1: 11 * GIB})
    with pytest.raises(HoldfastError, match=r"the cards have 24\.0 GiB free: give .* more GPUs"):
        device_map(model, {0: 24 * GIB})


def test_shared_embeddings_stay_on_one_card() -> None:
    config = Qwen2Config(
        vocab_size=2000,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = empty(config, Qwen2ForCausalLM)
    size = 2 * model.num_parameters()
    places = device_map(model, {"a": int(0.8 * size), "b": int(0.8 * size)})
    assert places["lm_head"] == places["model.embed_tokens"] == "a"
    assert places["model.layers.4"] == places["model.norm"] == "b"
    assert sum(held(model, places).values()) == size
    assert device_map(model, {"a": int(size / SHARE) + 2000}) == {"": "a"}  # shared once


def test_cards_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if not torch.cuda.is_available():
        assert free_cards() == {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card: (10 + card, 100))
    assert free_cards() == {0: 10, 1: 11, 2: 12}
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert free_cards() == {2: 12}


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    checkpoint = tmp_path / "checkpoint"
    model = tiny_llama.model()
    model.save_pretrained(checkpoint)
    tiny_llama.tokenizer().save_pretrained(checkpoint)
    base = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(tmp_path / "model.json", base | {"dtype": "float32"})
    return tmp_path


def test_the_loader_places_what_it_loads(arm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tiny_llama.state(tiny_llama.model())
    size = sum(tensor.nbytes for tensor in expected.values())
    asked: list[tuple[int, int]] = []
    real = placement.device_map

    def noted(model: Any, free: Any, needed: int) -> Any:
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        asked.append((placement._bytes(model), needed))
        return real(model, free, needed)

    def needs(shape: Shape) -> int:
        assert shape.weights == size
        return 2 * shape.weights

    monkeypatch.setattr(load, "device_map", noted)
    loaded = load_arm(arm, cards={"cpu": 4 * size}, needs=needs).model
    assert tiny_llama.same_bits(tiny_llama.state(loaded), expected)
    assert not loaded.training
    assert asked == [(pytest.approx(size, rel=0.01), 2 * size)]
    with pytest.raises(HoldfastError, match="the model's weights take"):
        load_arm(arm, cards={"cpu": size // 2})
    load_arm(arm, cards={})
    assert len(asked) == 2
    (arm / "child").mkdir()
    settings = ZerothOrder(steps=1, momentum=0.5, max_predicted_move=1.0)
    journal = arm / "journal"
    log = refine(loaded, tiny_llama.examples(8), settings, layers=[1], seed=0, journal=journal)
    write_json(arm / "child" / "arm.json", {"stage": "zeroth_order", "parent": ".."})
    write_json(arm / "child" / "replay.json", log)
    load_arm(arm / "child", cards={"cpu": 4 * size})
    assert asked[2][1] == size + 2 * 4 * log["dimension"]  # master copy and momentum


def test_a_live_model_is_placed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama.model()
    size = placement._bytes(model)
    monkeypatch.setattr(placement, "free_cards", dict)
    assert placement.place(model) is model
    monkeypatch.setattr(placement, "free_cards", lambda: {"cpu": 2 * size})
    assert placement.place(model) is model
    assert not hasattr(model.model.layers[0], "_hf_hook")
    spread: list[Any] = []
    monkeypatch.setattr(placement, "free_cards", lambda: {0: int(0.8 * size), 1: size})
    monkeypatch.setattr(placement, "dispatch_model", lambda *given, **_: spread.append(given))
    placement.place(model)
    assert spread == [(model, device_map(model, {0: int(0.8 * size), 1: size}))]


def test_the_loader_takes_a_split_map(arm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = placement._bytes(tiny_llama.model())
    two: list[dict[str, Any]] = []

    def split(model: Any, free: Any, needed: int) -> Any:
        two.append(device_map(model, {"cpu": int(0.8 * size), "meta": int(0.8 * size)}))
        return two[0]

    monkeypatch.setattr(load, "device_map", split)
    monkeypatch.setattr("transformers.modeling_utils.accelerate_dispatch", lambda *_: None)
    model = load_arm(arm, cards={"cpu": 1}).model
    for name, parameter in model.named_parameters():
        (card,) = {card for place, card in two[0].items() if name.startswith(f"{place}.")}
        assert parameter.device.type == card


def dispatched() -> Any:
    """A model that accelerate's hooks carry from part to part, as over several cards."""
    model = tiny_llama.model(torch.float32, seed=5)
    size = placement._bytes(model)
    places = device_map(model, {"first": int(0.8 * size), "second": int(0.8 * size)})
    assert len(set(places.values())) == 2
    hooked = dispatch_model(
        model,
        dict.fromkeys(places, "cpu"),
        skip_keys=model._skip_keys_device_placement,
        force_hooks=True,
    )
    assert all(hasattr(layer, "_hf_hook") for layer in hooked.model.layers)
    return hooked


def outcomes(model: Any, folder: Path) -> list[Any]:
    """Everything that the engine does with a model."""
    examples = tiny_llama.examples(6)
    batches = make_batches(examples, 4)

    def completions() -> list[str]:
        texts: dict[int, Any] = {}
        prompts = [f"w{index} w7 w{3 * index}" for index in range(5)]
        generate(
            model,
            tiny_llama.tokenizer(),
            prompts,
            max_new_tokens=12,
            batch_size=4,
            on_done=texts.__setitem__,
        )
        return [texts[index].text for index in range(5)]

    found: list[Any] = [completions(), response_loss(model, batches)]
    for perturbed in (
        weight_noise(model, 0.1, 1),
        fake_quant(model, Grid(4, 8), Grid(4, "token")),
        activation_noise(model, 0.3, "token", 1),
    ):
        with perturbed:
            found += [completions(), response_loss(model, batches)]
    suffix = Suffix(model, batches, 1)
    assert suffix.layer == 1  # the architecture bears skipped layers, hooks and all
    found.append(suffix.total())
    suffix.advance(2)
    found.append(suffix.total())
    scored = Robustness(samples=6, draws=1, rho=0.1, quant_group_size=8)
    found.append(robustness.score_layers(model, examples, scored, layers=[0, 2], seed=0))
    found.append(snip.score_layers(model, examples, Snip(samples=3)))
    found.append(wanda.score_layers(model, examples, Wanda(samples=6)))
    settings = ZerothOrder(steps=2, directions=2, max_predicted_move=1.0)
    log = refine(model, examples, settings, layers=[1, 2], seed=0, journal=folder / "journal")
    found.append(json.dumps(log["steps"]))
    found.append(completions())
    return found


def test_a_spread_model_does_all_that_a_whole_one_does(tmp_path: Path) -> None:
    expected = outcomes(tiny_llama.model(torch.float32, seed=5), tmp_path / "whole")
    assert outcomes(dispatched(), tmp_path / "spread") == expected
    assert expected[0] != expected[2]
