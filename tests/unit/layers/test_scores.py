from __future__ import annotations

import pytest
import torch

import tiny_llama
from holdfast.data.outputs import DrawnScores
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import collate
from holdfast.errors import HoldfastError
from holdfast.layers import random, robustness, snip, wanda
from holdfast.numerics.noise import normal
from holdfast.numerics.rounding import Grid, quantize_dequantize
from holdfast.numerics.stream import key
from holdfast.settings.selections import (
    Random,
    Robustness,
    Snip,
    Wanda,
)

EXAMPLES = tiny_llama.examples(9)
USED = EXAMPLES[:7]


def loss(model: torch.nn.Module) -> torch.Tensor:
    """Transformers' own token-mean loss over the examples that the scores may use."""
    return model(**collate(USED, 0)._asdict()).loss


def linear(layer: torch.nn.Module) -> list[torch.nn.Linear]:
    attention, mlp = layer.self_attn, layer.mlp
    return [
        *(attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj),
        *(mlp.gate_proj, mlp.up_proj, mlp.down_proj),
    ]


@torch.no_grad()
def test_robustness_is_the_loss_of_each_perturbed_copy() -> None:
    model = tiny_llama.model()
    settings = Robustness(
        samples=7, batch_size=3, rho=0.05, draws=3, quant_bits=3, quant_group_size=8
    )
    found = robustness.score_layers(model, EXAMPLES, settings, layers=[0, 2], seed=4)
    base = float(loss(tiny_llama.model()))
    assert found.loss == pytest.approx(base, rel=1e-5)
    assert list(found.layers) == ["0", "2"]
    for layer in (0, 2):
        for draw in range(3):
            copy = tiny_llama.model()
            for name, parameter in copy.named_parameters():
                if name.startswith(f"model.layers.{layer}."):
                    noise = normal(parameter.shape, key(4, "sensitivity", direction=draw), name)
                    parameter.add_(0.05 * noise)
            increase = found.layers[str(layer)].noise[draw]
            assert increase == pytest.approx(float(loss(copy)) - base, rel=1e-3, abs=1e-6)
        copy = tiny_llama.model()
        for module in linear(decoder_layers(copy)[layer]):
            module.weight.copy_(quantize_dequantize(module.weight, Grid(3, 8)))
        increase = found.layers[str(layer)].quant
        assert increase == pytest.approx(float(loss(copy)) - base, rel=1e-3, abs=1e-6)
        assert increase != 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_scores_leave_the_model_as_it_was(dtype: torch.dtype) -> None:
    model = tiny_llama.model(dtype).requires_grad_(False)
    before = tiny_llama.state(model)
    settings = Robustness(samples=3, draws=2, rho=0.1, quant_group_size=8)
    robustness.score_layers(model, EXAMPLES, settings, layers=[0, 1, 2], seed=0)
    snip.score_layers(model, EXAMPLES, Snip(samples=2))
    wanda.score_layers(model, EXAMPLES, Wanda(samples=2))
    assert tiny_llama.same_bits(tiny_llama.state(model), before)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_layers_noise_does_not_depend_on_its_chunk() -> None:
    settings = Robustness(samples=3, draws=2, quant_group_size="channel")
    model = tiny_llama.model()
    whole = robustness.score_layers(model, EXAMPLES, settings, layers=[0, 1, 2], seed=0)
    part = robustness.score_layers(model, EXAMPLES, settings, layers=[1], seed=0)
    assert part == DrawnScores(loss=whole.loss, layers={"1": whole.layers["1"]})
    other = robustness.score_layers(model, EXAMPLES, settings, layers=[1], seed=1)
    assert other.layers["1"].noise != part.layers["1"].noise
    assert other.layers["1"].quant == part.layers["1"].quant


def test_group_size_that_does_not_divide_is_told() -> None:
    model = tiny_llama.model()
    before = tiny_llama.state(model)
    with pytest.raises(HoldfastError, match="group_size 7"):
        robustness.score_layers(
            model, EXAMPLES, Robustness(quant_group_size=7, draws=1), layers=[0], seed=0
        )
    assert tiny_llama.same_bits(tiny_llama.state(model), before)


def test_snip_is_weight_times_gradient_of_autograd() -> None:
    model = tiny_llama.model()
    expected = [0.0, 0.0, 0.0]
    for example in USED:
        model.zero_grad()
        model(**collate([example], 0)._asdict()).loss.backward()
        for layer, module in enumerate(decoder_layers(model)):
            products = [m.weight.detach() * m.weight.grad for m in linear(module)]
            expected[layer] += sum(float(product.abs().sum()) for product in products)
    sizes = [sum(m.weight.numel() for m in linear(module)) for module in decoder_layers(model)]
    model.zero_grad()
    found = snip.score_layers(model, EXAMPLES, Snip(samples=7))
    assert found == {
        str(layer): pytest.approx(expected[layer] / sizes[layer], rel=1e-4) for layer in range(3)
    }


@torch.no_grad()
def test_wanda_is_weight_times_rms_of_its_inputs_at_response_tokens() -> None:
    model = tiny_llama.model()
    inputs: dict[torch.nn.Linear, list[torch.Tensor]] = {}
    handles = [
        module.register_forward_hook(
            lambda module, given, _out: inputs.setdefault(module, []).append(given[0][0])
        )
        for layer in decoder_layers(model)
        for module in linear(layer)
    ]
    for example in USED:  # one at a time: nothing is padded
        model(torch.tensor([example.input_ids]))
    for handle in handles:
        handle.remove()
    expected = {}
    for number, layer in enumerate(decoder_layers(model)):
        total, size = 0.0, 0
        for module in linear(layer):
            rows = [x[e.labels_from :] for x, e in zip(inputs[module], USED, strict=True)]
            rms = torch.cat(rows).double().square().mean(dim=0).sqrt()
            total += float((module.weight.double().abs() * rms).sum())
            size += module.weight.numel()
        expected[str(number)] = pytest.approx(total / size, rel=1e-5)
    assert wanda.score_layers(model, EXAMPLES, Wanda(samples=7, batch_size=3)) == expected


def test_random_scores_depend_on_the_seed_alone() -> None:
    first, again, other = (
        random.score_layers(None, [], Random(seed=seed), layers=range(32)) for seed in (1, 1, 2)
    )
    assert list(first) == [str(layer) for layer in range(32)]
    assert first == again
    assert first != other
    assert all(0 <= score < 1 for score in first.values())
