"""Settings to perturbations."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter

import tiny_llama
from holdfast.errors import HoldfastError
from holdfast.numerics.noise import normal
from holdfast.numerics.rounding import Grid, quantize_dequantize
from holdfast.numerics.stream import key
from holdfast.perturbations.registry import perturb
from holdfast.settings.perturbations import Perturbation

IDS = torch.tensor([[1, 7, 9, 12, 30, 2]])
NAME = "model.layers.0.mlp.up_proj.weight"


def _settings(**entry):
    return TypeAdapter(Perturbation).validate_python(entry)


@torch.no_grad()
def _logits(model):
    return model(input_ids=IDS).logits


def test_none_and_gptq_leave_the_live_model_alone():
    model = tiny_llama.model()
    clean = _logits(model)
    gptq = _settings(kind="gptq", levels={"W4A16-g8": {"bits": 4, "group_size": 8}})
    for settings, level in ((_settings(kind="none"), ""), (gptq, "W4A16-g8")):
        with perturb(model, settings, level, 0):
            assert torch.equal(_logits(model), clean)


def test_weight_noise_is_unit_times_level():
    model = tiny_llama.model()
    before = model.get_parameter(NAME).clone()
    with perturb(model, _settings(kind="weight_noise", unit=1e-3, levels=[1.5, 30]), "30", 4):
        moved = model.get_parameter(NAME) - before
    noise = normal(before.shape, key(4, "weight_noise"), NAME)
    torch.testing.assert_close(moved, 0.03 * noise, rtol=1e-3, atol=1e-6)


def test_activation_noise_grows_with_its_level():
    model = tiny_llama.model()
    clean = _logits(model)
    settings = _settings(kind="activation_noise", levels=[0.001, 0.01, 0.1])
    distance = []
    for level, _ in settings.cells[:: settings.draws]:
        with perturb(model, settings, level, 4):
            distance.append((_logits(model) - clean).norm().item())
    assert 0 < distance[0] < distance[1] < distance[2]


def test_fake_quant_takes_both_grids():
    model = tiny_llama.model()
    before = model.get_parameter(NAME).clone()
    entry = {"bits": 3, "group_size": 8, "activation_bits": 8, "activation_group_size": "token"}
    seen = []
    handle = model.get_submodule(NAME[: -len(".weight")]).register_forward_hook(
        lambda _m, inputs, _o: seen.append(inputs[0])
    )
    with perturb(model, _settings(kind="fake_quant", levels={"odd": entry}), "odd", 0):
        assert torch.equal(model.get_parameter(NAME), quantize_dequantize(before, Grid(3, 8)))
        _logits(model)
    handle.remove()
    torch.testing.assert_close(
        quantize_dequantize(seen[0], Grid(8, "token")), seen[0], rtol=0.02, atol=1e-6
    )
    assert torch.equal(model.get_parameter(NAME), before)


def test_an_unknown_level_is_refused():
    settings = _settings(kind="weight_noise", levels=[1.5])
    with pytest.raises(HoldfastError, match=r"no level '1.50'; did you mean '1.5'"):
        perturb(tiny_llama.model(), settings, "1.50", 0)
