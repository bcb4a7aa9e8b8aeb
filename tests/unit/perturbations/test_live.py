"""Perturbations of a live model: what they do while they last, and that they leave no trace."""

from __future__ import annotations

import pytest
import torch

import tiny_llama
from holdfast.engine.architecture import decoder_layers
from holdfast.errors import HoldfastError
from holdfast.numerics.noise import normal
from holdfast.numerics.rounding import Grid, quantize_dequantize
from holdfast.numerics.stream import key
from holdfast.perturbations.activation_noise import activation_noise
from holdfast.perturbations.fake_quant import fake_quant
from holdfast.perturbations.weight_noise import weight_noise

PROMPTS = [[1, 7, 9, 2], [1, 12, 2], [1, 5, 6, 7, 8, 9, 2]]


def _logits(model, rows, side="right", extra=0):
    """Logits of the real tokens of each row, from one padded batch."""
    longest = max(map(len, rows)) + extra
    ids = torch.full((len(rows), longest), 0)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        where = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[index, where], mask[index, where] = torch.tensor(row), 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    return [out[index][mask[index].bool()] for index in range(len(rows))]


def _greedy(model, row, cached):
    ids = torch.tensor([row])
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "use_cache": cached}
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), return_dict_in_generate=True,
        output_logits=True, **settings,
    )  # fmt: skip
    return out.sequences, torch.cat(out.logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weight_noise_moves_every_parameter_and_puts_it_back(dtype):
    model = tiny_llama.model(dtype)
    before = tiny_llama.state(model)
    with weight_noise(model, 0.02, seed=5):
        during = tiny_llama.state(model)
        assert model.lm_head.weight is model.model.embed_tokens.weight  # tied: moved once
    for name, weight in before.items():
        noise = normal(weight.shape, key(5, "weight_noise"), name)
        expected = torch.add(weight.float(), noise, alpha=0.02).to(dtype)
        torch.testing.assert_close(during[name], expected, rtol=1e-2, atol=1e-7)
        assert not torch.equal(during[name], weight)
    assert tiny_llama.same_bits(before, tiny_llama.state(model))


def test_weights_come_back_after_an_error():
    model = tiny_llama.model()
    before = tiny_llama.state(model)
    with pytest.raises(KeyboardInterrupt), weight_noise(model, 0.02, seed=5):
        raise KeyboardInterrupt
    assert tiny_llama.same_bits(before, tiny_llama.state(model))


def test_fake_quant_is_the_model_written_out():
    model = tiny_llama.model()
    before = tiny_llama.state(model)
    weights, activations = Grid(4, 8), Grid(4, "token")
    by_hand = tiny_llama.model()
    for layer in by_hand.model.layers:
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.data = quantize_dequantize(module.weight, weights)
                module.forward = lambda x, m=module: torch.nn.functional.linear(
                    quantize_dequantize(x, activations), m.weight
                )
    clean = _logits(model, PROMPTS)
    with fake_quant(model, weights, activations):
        during = tiny_llama.state(model)
        for found, expected in zip(_logits(model, PROMPTS), _logits(by_hand, PROMPTS), strict=True):
            assert torch.equal(found, expected)
    outside = {"model.embed_tokens.weight", *(name for name in before if "norm" in name)}
    for name, weight in before.items():
        assert torch.equal(during[name], weight) == (name in outside)
    assert tiny_llama.same_bits(before, tiny_llama.state(model))
    for found, expected in zip(_logits(model, PROMPTS), clean, strict=True):
        assert torch.equal(found, expected)  # the hooks are gone


def test_fake_quant_names_the_module_that_does_not_fit():
    model = tiny_llama.model()
    with (
        pytest.raises(HoldfastError, match=r"activation_group_size 12 .* 16 inputs of layers.0"),
        fake_quant(model, Grid(4, 8), Grid(4, 12)),
    ):
        pass


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("extra", [0, 5])
def test_activation_noise_of_a_prompt_ignores_its_batch(side, extra):
    model = tiny_llama.model()
    with activation_noise(model, 0.3, "token", seed=2):
        alone = [_logits(model, [row])[0] for row in PROMPTS]
        together = _logits(model, PROMPTS, side, extra)
        turned = _logits(model, PROMPTS[::-1], side, extra)[::-1]
    for one, two, three in zip(alone, together, turned, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-4)


def test_activation_noise_is_alpha_times_the_spread_of_each_token():
    model = tiny_llama.model(torch.float64)
    ids = torch.arange(5, 40)[torch.randint(35, (40, 30), generator=torch.manual_seed(0))]
    seen = []
    last = decoder_layers(model)[0]
    quiet = last.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad(), activation_noise(model, 0.5, "token", seed=2):
        heard = last.register_forward_hook(lambda _m, _i, out: seen.append(out))
        model(input_ids=ids)
        heard.remove()
    quiet.remove()
    clean, noisy = seen
    noise = (noisy - clean) / clean.std(-1, correction=0, keepdim=True) / 0.5
    assert abs(noise.mean()) < 4.5 / noise.numel() ** 0.5
    assert abs(noise.var() - 1) < 6 / noise.numel() ** 0.5
    # The first tokens differ, hence every later one has noise of its own.
    flat = noise[ids[:, 0].unique(return_counts=True)[1].argmax()]
    assert abs((flat[1:] * flat[:-1]).mean()) < 4.5 / flat[1:].numel() ** 0.5


def test_activation_noise_depends_on_seed_layer_text_and_position():
    model = tiny_llama.model()
    drawn = {}
    for seed in (2, 3):
        with torch.no_grad(), activation_noise(model, 0.5, "tensor", seed=seed):
            drawn[seed] = model(
                input_ids=torch.tensor([[5, 6, 6, 7], [5, 6, 6, 8], [9, 6, 6, 7]]),
                output_hidden_states=True,
            ).hidden_states[1]
    base = drawn[2]
    assert not torch.isclose(base, drawn[3]).any()
    torch.testing.assert_close(base[0, :3], base[1, :3])  # a common beginning
    assert not torch.isclose(base[0, 1:], base[2, 1:]).all(-1).any()  # another first token
    assert not torch.isclose(base[0, 1], base[0, 2]).all()  # the same token, one further


def test_activation_noise_is_the_same_with_and_without_a_cache():
    model = tiny_llama.model()
    with activation_noise(model, 0.3, "token", seed=2):
        for row in PROMPTS:
            cached, one = _greedy(model, row, cached=True)
            whole, two = _greedy(model, row, cached=False)
            assert torch.equal(cached, whole)
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_activation_noise_follows_rows_that_leave_the_cache():
    model = tiny_llama.model()
    ids = torch.tensor([[1, 7, 9, 2], [1, 5, 6, 2], [1, 5, 8, 2]])
    new = torch.tensor([[11], [12]])
    with torch.no_grad(), activation_noise(model, 0.3, "token", seed=2):
        cache = model(input_ids=ids, use_cache=True).past_key_values
        cache.batch_select_indices(torch.tensor([2, 0]))
        step = model(input_ids=new, past_key_values=cache, use_cache=True).logits[:, -1]
        whole = model(input_ids=torch.cat([ids[[2, 0]], new], 1)).logits[:, -1]
    torch.testing.assert_close(step, whole, rtol=1e-4, atol=1e-4)


def test_activation_noise_leaves_nothing_and_refuses_what_it_cannot_follow():
    model = tiny_llama.model()
    ids = torch.tensor([[1, 7, 9, 2]])
    with torch.no_grad():
        clean = model(input_ids=ids, use_cache=True)
        with activation_noise(model, 0.3, "token", seed=2):
            assert not torch.equal(model(input_ids=ids).logits, clean.logits)
            with pytest.raises(HoldfastError, match="began without"):
                model(input_ids=ids, past_key_values=clean.past_key_values)
            with pytest.raises(HoldfastError, match="input_ids"):
                model(inputs_embeds=torch.zeros(1, 2, 16))
        assert torch.equal(model(input_ids=ids).logits, clean.logits)
