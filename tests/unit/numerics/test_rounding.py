"""Group-wise rounding against compressed-tensors, and its properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import HoldfastError
from holdfast.numerics.rounding import Grid, quantize_dequantize

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def _arguments(bits, group_size, dynamic=False):
    from compressed_tensors.quantization import QuantizationArgs

    if isinstance(group_size, int):
        return QuantizationArgs(
            num_bits=bits, strategy="group", group_size=group_size, dynamic=dynamic
        )
    return QuantizationArgs(num_bits=bits, strategy=group_size, dynamic=dynamic)


def _weight_by_compressed_tensors(weight, grid):
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import calculate_qparams

    arguments = _arguments(grid.bits, grid.group_size)
    if grid.group_size == "tensor":
        scale, zero = calculate_qparams(weight.amin(), weight.amax(), arguments)
    elif grid.group_size == "channel":
        scale, zero = calculate_qparams(
            weight.amin(-1, keepdim=True), weight.amax(-1, keepdim=True), arguments
        )
    else:
        groups = weight.unflatten(-1, (-1, grid.group_size))
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), arguments)
    return fake_quantize(weight, scale, zero, arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group_size", [16, 32, "channel", "tensor"])
def test_weights_equal_compressed_tensors(bits, group_size, dtype):
    weight = (torch.randn(48, 64, generator=torch.Generator().manual_seed(bits)) * 0.05).to(dtype)
    weight[3] = 0
    grid = Grid(bits, group_size)
    assert torch.equal(
        quantize_dequantize(weight, grid), _weight_by_compressed_tensors(weight, grid)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group_size", [16, "token", "tensor"])
def test_activations_equal_compressed_tensors(bits, group_size, dtype):
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp

    hidden = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1)).to(dtype)
    hidden[1, 2] = 0
    arguments = _arguments(bits, group_size, dynamic=True)
    scale, zero = compute_dynamic_scales_and_zp(hidden, arguments, torch.nn.Identity())
    expected = fake_quantize(hidden, scale, zero, arguments)
    assert torch.equal(quantize_dequantize(hidden, Grid(bits, group_size)), expected)


def test_four_bits_by_hand():
    values = torch.tensor([[7.5, -7.5, 0.4, 0.6, 0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[7.0, -8.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(quantize_dequantize(values, Grid(4, 4)), expected)


@settings(deadline=None, max_examples=60)
@given(
    bits=st.integers(2, 8),
    group_size=st.sampled_from([1, 4, 8, "channel", "tensor"]),
    seed=st.integers(0, 2**31),
    exponent=st.integers(-20, 20),
)
def test_error_is_at_most_one_step_and_powers_of_two_pass_through(bits, group_size, seed, exponent):
    weight = torch.randn(6, 8, generator=torch.Generator().manual_seed(seed))
    grid = Grid(bits, group_size)
    rounded = quantize_dequantize(weight, grid)
    step = weight.abs().amax() / ((2**bits - 1) / 2)
    assert (rounded - weight).abs().max() <= step * 0.5001
    scaled = quantize_dequantize(weight * 2.0**exponent, grid)
    assert torch.equal(scaled, rounded * 2.0**exponent)


def test_input_is_left_alone():
    weight = torch.randn(4, 8)
    before = weight.clone()
    quantize_dequantize(weight, Grid(4, 8))
    assert torch.equal(weight, before)


def test_a_group_size_that_does_not_divide_is_refused():
    with pytest.raises(HoldfastError, match=r"group_size 24 does not divide .* 64"):
        quantize_dequantize(torch.zeros(2, 64), Grid(4, 24))


def test_bits_outside_the_range_are_refused():
    with pytest.raises(HoldfastError, match="bits 9"):
        quantize_dequantize(torch.zeros(2, 64), Grid(9, 32))
