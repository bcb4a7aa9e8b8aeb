"""GPTQ through llm-compressor, and llm-compressor as the oracle of W4A4."""

from __future__ import annotations

import socket

import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny_llama
from holdfast.errors import HoldfastError
from holdfast.numerics.rounding import Grid, quantize_dequantize
from holdfast.perturbations.checkpoint import load_model
from holdfast.perturbations.fake_quant import fake_quant
from holdfast.perturbations.gptq import quantize_checkpoint

IDS = torch.randint(5, 40, (12, 64), generator=torch.Generator().manual_seed(0))
CALIBRATION = IDS.tolist()


@pytest.fixture(autouse=True)
def _no_network_and_an_empty_working_directory(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@torch.no_grad()
def _logits(model):
    return model(input_ids=IDS).logits


@pytest.mark.parametrize(
    ("grid", "dtype"),
    [
        (Grid(4, 8), torch.bfloat16),
        (Grid(3, 8), torch.float32),
        (Grid(4, "channel"), torch.float32),
        (Grid(4, "tensor"), torch.float32),
    ],
    ids=str,
)
def test_saved_and_loaded_is_what_was_quantized(grid, dtype, tmp_path, capfd):
    tiny_llama.model().save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=dtype)
    model.config._name_or_path = "somebody/some-model"
    clean = _logits(model)
    head = model.lm_head.weight.clone()
    quantize_checkpoint(model, tiny_llama.tokenizer(), tmp_path / "out", grid, CALIBRATION)
    loaded = load_model(tmp_path / "out")
    assert torch.equal(_logits(model), _logits(loaded))
    assert not torch.equal(_logits(loaded), clean)
    assert loaded.dtype == dtype
    assert torch.equal(loaded.lm_head.weight, head)
    assert list((tmp_path / "here").iterdir()) == []
    assert model.config._name_or_path == "somebody/some-model"
    assert "METRIC" not in capfd.readouterr().out
    for module in loaded.model.layers.modules():
        if isinstance(module, torch.nn.Linear):
            rows = module.weight.float()
            if isinstance(grid.group_size, int):
                rows = rows.unflatten(-1, (-1, grid.group_size)).flatten(0, 1)
            assert max(len(row.unique()) for row in rows) <= 2**grid.bits


def test_the_same_bytes_twice(tmp_path):
    for name in ("one", "two"):
        quantize_checkpoint(
            tiny_llama.model(), tiny_llama.tokenizer(), tmp_path / name, Grid(4, 8), CALIBRATION
        )
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_outputs_are_closer_than_those_of_rounding_to_nearest(tmp_path):
    model = tiny_llama.model()
    seen: dict[str, torch.Tensor] = {}
    modules = {
        n: m for n, m in model.model.layers.named_modules() if isinstance(m, torch.nn.Linear)
    }
    for name, module in modules.items():
        module.register_forward_pre_hook(
            lambda _m, inputs, name=name: seen.update({name: inputs[0].flatten(0, 1)})
        )
    _logits(model)
    weights = {name: module.weight.detach().clone() for name, module in modules.items()}
    grid = Grid(3, 8)
    quantize_checkpoint(tiny_llama.model(), tiny_llama.tokenizer(), tmp_path, grid, CALIBRATION)
    loaded = dict(load_model(tmp_path).model.layers.named_modules())

    def error(name, weight):
        return (seen[name] @ (weight - weights[name]).T).square().mean().item()

    nearest = {name: error(name, quantize_dequantize(weights[name], grid)) for name in weights}
    gptq = {name: error(name, loaded[name].weight) for name in weights}
    assert sum(gptq[name] < nearest[name] for name in weights) >= 0.8 * len(weights)
    assert sum(gptq.values()) < 0.8 * sum(nearest.values())


@pytest.mark.filterwarnings("ignore:Attempting to save a model with offloaded")
@pytest.mark.parametrize("activations", [8, "token"])
def test_w4a4_equals_a_reloaded_llm_compressor_checkpoint(activations, tmp_path):
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier

    tiny_llama.model().save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    group = {"strategy": "group", "group_size": 8}
    inputs = {"strategy": "token"} if activations == "token" else group
    common = {"num_bits": 4, "type": "int", "symmetric": True}
    scheme = {
        "targets": ["Linear"],
        "weights": {**common, **group},
        "input_activations": {**common, **inputs, "dynamic": True},
    }
    oneshot(
        model=model,
        processor=tiny_llama.tokenizer(),
        recipe=[QuantizationModifier(config_groups={"group_0": scheme}, ignore=["lm_head"])],
    )
    model.save_pretrained(tmp_path / "oracle", save_compressed=True)
    expected = _logits(load_model(tmp_path / "oracle"))
    ours = tiny_llama.model()
    with fake_quant(ours, Grid(4, 8), Grid(4, activations)):
        assert torch.equal(_logits(ours), expected)


def test_what_cannot_be_quantized_is_refused(tmp_path):
    model, tokenizer = tiny_llama.model(), tiny_llama.tokenizer()
    with pytest.raises(HoldfastError, match=r"group_size 24 does not divide the 16 inputs"):
        quantize_checkpoint(model, tokenizer, tmp_path / "out", Grid(4, 24), CALIBRATION)
    with pytest.raises(HoldfastError, match="calibration texts"):
        quantize_checkpoint(model, tokenizer, tmp_path / "out", Grid(4, 8), [])
    assert not (tmp_path / "out").exists()
