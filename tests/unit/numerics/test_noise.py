"""Keyed Gaussian noise: its distribution, its independence, and what it is a function of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from holdfast.errors import HoldfastError
from holdfast.numerics import noise
from holdfast.numerics.noise import (
    add_normal_,
    keyed_hash,
    normal,
    normal_,
    normal_rows,
    normals,
)
from holdfast.numerics.stream import HALF, key

MILLION = 1 << 20
NAME = "model.layers.0.mlp.up_proj.weight"
WHOLE = normal((5 * HALF + 77,), key(3, "test"), NAME)


@pytest.fixture(scope="module")
def sample():
    return normal((4 * MILLION,), key(1, "test"), NAME).double().numpy()


def test_moments(sample):
    n = len(sample)
    assert abs(sample.mean()) < 4 / n**0.5
    assert abs(sample.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs(stats.skew(sample)) < 4 * (6 / n) ** 0.5
    assert abs(stats.kurtosis(sample)) < 4 * (24 / n) ** 0.5


def test_kolmogorov_smirnov(sample):
    assert stats.kstest(sample, "norm").pvalue > 1e-3
    for part in np.split(sample, 8):
        assert stats.kstest(part, "norm").pvalue > 1e-4


@pytest.mark.parametrize("threshold", [3.0, 4.0, 4.5])
def test_tails(sample, threshold):
    expected = 2 * stats.norm.sf(threshold) * len(sample)
    for tail in (np.abs(sample) > threshold).sum(), 2 * (sample > threshold).sum():
        assert abs(tail - expected) < 5 * (2 * expected) ** 0.5
    assert 4.7 < np.abs(sample).max() < 6.6


def test_the_two_halves_of_a_tile_are_independent(sample):
    pairs = sample.reshape(-1, 2, HALF)
    cosine, sine = pairs[:, 0].ravel(), pairs[:, 1].ravel()
    limit = 4.5 / len(cosine) ** 0.5
    assert abs((cosine * sine).mean()) < limit
    assert abs(((cosine**2 - 1) * (sine**2 - 1)).mean()) < 2 * limit
    angle = np.arctan2(sine, cosine) / (2 * np.pi) + 0.5
    assert stats.kstest(angle, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("lag", [1, 2, 3, 8, 64, 1000, HALF, 2 * HALF, 1 << 16, 1 << 17])
def test_no_correlation_within_a_stream(sample, lag):
    ahead, behind = sample[lag:], sample[:-lag]
    limit = 4.5 / len(ahead) ** 0.5
    assert abs((ahead * behind).mean()) < limit
    assert abs(((ahead**2 - 1) * (behind**2 - 1)).mean()) < 2 * limit


def test_no_correlation_across_keys():
    streams = {
        "base": (key(1, "zo", step=5, direction=2), NAME),
        "next seed": (key(2, "zo", step=5, direction=2), NAME),
        "negative seed": (key(-1, "zo", step=5, direction=2), NAME),
        "next step": (key(1, "zo", step=6, direction=2), NAME),
        "next direction": (key(1, "zo", step=5, direction=3), NAME),
        "step and direction swapped": (key(1, "zo", step=2, direction=5), NAME),
        "other purpose": (key(1, "weight_noise", step=5, direction=2), NAME),
        "other name": (key(1, "zo", step=5, direction=2), NAME.replace("0", "1")),
        "name with the digits of the step": (key(1, "zo", step=5, direction=2), NAME + "5"),
    }
    drawn = [normal((MILLION // 2,), k, name).double() for k, name in streams.values()]
    for one, two in itertools.combinations(drawn, 2):
        for lag in (0, 1, HALF, 2 * HALF):
            ahead, behind = one[lag:], two[: len(two) - lag]
            assert abs((ahead * behind).mean()) < 5 / len(ahead) ** 0.5
            # A million pairs of float32 numbers meet by chance now and then; a copy meets always.
            assert torch.isin(ahead[:1000], behind[:1000]).sum() < 10


def _by_hand(words: list[int], element: int) -> float:
    """The same definition in Python integers."""
    tile, offset = divmod(element, 2 * HALF)
    half, within = divmod(offset, HALF)
    pair = tile * HALF + within
    left, right = pair >> 32, pair % 2**32
    for word in words:
        mixed = (word + 0x7FEB352D * right) % 2**32
        mixed ^= ((mixed ^ 2**31) - 2**31 >> 15) % 2**32  # the shift keeps the sign
        left, right = right, (left + 0x846CA68B * mixed) % 2**32
    signed = [(word + 2**31) % 2**32 - 2**31 for word in (left, right)]
    radius = math.sqrt(-2 * math.log((abs(signed[1]) + 0.5) / 2**31))
    angle = math.pi * signed[0] / 2**31
    return radius * (math.sin(angle) if half else math.cos(angle))


@pytest.mark.parametrize("start", [0, HALF - 1, 2 * HALF, 12345, 2**33 - 3, 2**45 + 7])
def test_against_the_definition(start):
    drawn = normal_(torch.empty(6), key(7, "test", step=3), NAME, start=start)
    words = key(7, "test", step=3).words(NAME)
    expected = torch.tensor([_by_hand(words, start + i) for i in range(6)])
    assert torch.allclose(drawn, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 77, HALF, HALF + 1, 2 * HALF, 5 * HALF + 3, 40 * HALF])
def test_many_keys_at_once_draw_what_each_draws(size):
    keys = [key(1, "test", step=step, direction=j) for step in range(2) for j in range(9)]
    drawn = normals((size, 1), keys, NAME)
    assert drawn.shape == (18, size, 1)
    for one, stacked in zip(keys, drawn, strict=True):
        assert torch.equal(stacked, normal((size, 1), one, NAME))


def test_golden_values():
    """The stream is part of stored replay logs: these numbers may never change."""
    drawn = normal((2 * HALF + 2,), key(0, "golden", step=1, direction=2), "weight")
    picked = drawn[[0, 1, 2, HALF, HALF + 1, 2 * HALF, 2 * HALF + 1]].tolist()
    expected = [-2.4754741, 0.0829511, 0.5264617, 2.2633049, -0.8924694, 1.3626665, 1.2446747]
    assert picked == pytest.approx(expected, abs=1e-6)


def test_same_bytes_twice_at_any_thread_count():
    threads = torch.get_num_threads()
    drawn = []
    try:
        for count in (1, 2, 4, 1):
            torch.set_num_threads(count)
            drawn.append(normal((MILLION + 13,), key(9, "test"), NAME).numpy().tobytes())
    finally:
        torch.set_num_threads(threads)
    assert len(set(drawn)) == 1


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_slice_is_the_slice_of_the_whole(data):
    start = data.draw(st.integers(0, len(WHOLE) - 1))
    stop = data.draw(st.integers(start, len(WHOLE)))
    part = normal_(torch.empty(stop - start), key(3, "test"), NAME, start=start)
    assert torch.equal(part, WHOLE[start:stop])


def test_batches_do_not_show(monkeypatch):
    monkeypatch.setattr(noise, "_BATCH_CPU", HALF)
    assert torch.equal(normal(WHOLE.shape, key(3, "test"), NAME), WHOLE)


def test_beyond_two_to_the_33_elements():
    """The low word of the pair index wraps there, within a tile of neither side."""
    border = 2**33
    around = normal_(torch.empty(6 * HALF), key(3, "test"), NAME, start=border - 3 * HALF)
    after = normal_(torch.empty(3 * HALF), key(3, "test"), NAME, start=border)
    assert torch.equal(around[3 * HALF :], after)
    assert not torch.isin(after[:1000], WHOLE[:1000]).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_adding_rounds_once(dtype):
    tensor = (torch.arange(3 * HALF + 5) % 997 / 500 - 1).to(dtype).reshape(-1, 1)
    drawn = normal(tensor.shape, key(4, "test"), NAME)
    exact = tensor.double() + 0.01 * drawn.double()
    once = exact.float().to(dtype)
    add_normal_(tensor, 0.01, key(4, "test"), NAME)
    # float32(tensor) + scale * noise may be one fused operation or two.
    assert (tensor == once).float().mean() > 0.95
    assert torch.allclose(tensor.double(), exact, rtol=1.01 * torch.finfo(dtype).eps, atol=1e-8)


def test_a_parameter_with_gradient_and_an_empty_tensor():
    parameter = torch.nn.Parameter(torch.zeros(3, 5))
    add_normal_(parameter, 2.0, key(4, "test"), NAME)
    assert torch.allclose(parameter.detach(), 2 * normal((3, 5), key(4, "test"), NAME))
    assert normal((0, 4), key(4, "test"), NAME).shape == (0, 4)


def test_what_cannot_be_done_is_refused():
    with pytest.raises(HoldfastError, match=r"up_proj.* not contiguous"):
        add_normal_(torch.zeros(4, 6).t(), 1.0, key(0, "test"), NAME)
    with pytest.raises(HoldfastError, match="int64"):
        add_normal_(torch.zeros(4, dtype=torch.int64), 1.0, key(0, "test"), NAME)


def test_rows_depend_on_their_own_index_alone(monkeypatch):
    rows = torch.tensor([-(2**62), -1, 0, 7, 2**40 + 3, 2**62 + 2**31], dtype=torch.int64)
    whole = normal_rows(rows, 33, key(5, "test"), NAME)
    assert whole.shape == (6, 33)
    assert torch.equal(normal_rows(rows[[4]], 33, key(5, "test"), NAME), whole[[4]])
    monkeypatch.setattr(noise, "_BATCH_CPU", HALF)
    rows = keyed_hash(torch.arange(3000), key(5, "test"), "rows")
    many = normal_rows(rows, 33, key(5, "test"), NAME)
    assert torch.equal(normal_rows(rows.flip(0), 33, key(5, "test"), NAME), many.flip(0))
    assert stats.kstest(many.double().numpy().ravel(), "norm").pvalue > 1e-3
    assert abs((many[1:] * many[:-1]).mean()) < 4.5 / many.numel() ** 0.5


def test_row_zero_is_the_stream_itself():
    row = normal_rows(torch.zeros(1, dtype=torch.int64), 2 * HALF, key(3, "test"), NAME)
    assert torch.equal(row[0], WHOLE[: 2 * HALF])


def test_hash_flips_half_of_its_bits():
    values = torch.arange(4096)
    plain = keyed_hash(values, key(6, "test"), "hash")
    assert len(plain.unique()) == 4096
    for bit in (0, 5, 31, 32, 50, 63):
        change = torch.tensor(1 << bit if bit < 63 else -(2**63))
        flipped = keyed_hash(values ^ change, key(6, "test"), "hash") ^ plain
        bits = flipped[:, None].bitwise_right_shift(torch.arange(64)) & 1
        assert (bits.double().mean(0) - 0.5).abs().max() < 5 * 0.5 / 4096**0.5
