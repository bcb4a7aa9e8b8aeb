"""Keyed noise on CUDA: the numbers of the CPU, by the fused kernel and without it."""

from __future__ import annotations

import pytest
import torch

from holdfast.numerics import noise
from holdfast.numerics.noise import (
    add_normal_,
    keyed_hash,
    normal,
    normal_,
    normal_rows,
)
from holdfast.numerics.stream import HALF, key

if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)

NAME = "model.layers.0.mlp.up_proj.weight"
KEY = key(3, "test", step=7)
SIZE = 40 * HALF + 77


@pytest.fixture(params=["fused", "torch"])
def _path(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(noise, "_fused_kernel", lambda: None)
        monkeypatch.setattr(noise, "_BATCH_CUDA", 4 * HALF)
    else:
        assert noise._fused_kernel() is not None


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("start", [0, 1, HALF - 5, 2 * HALF, 2**33 - 3 * HALF - 1])
def test_values_are_those_of_the_cpu(start):
    here = normal_(torch.empty(SIZE), KEY, NAME, start=start)
    there = normal_(torch.empty(SIZE, device="cuda"), KEY, NAME, start=start)
    torch.testing.assert_close(there.cpu(), here, rtol=1e-5, atol=2e-6)


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_adding_rounds_once(dtype):
    here = (torch.arange(SIZE) % 997 / 500 - 1).to(dtype)
    there = here.cuda()
    add_normal_(here, 0.01, KEY, NAME)
    add_normal_(there, 0.01, KEY, NAME)
    torch.testing.assert_close(there.cpu(), here, rtol=1.01 * torch.finfo(dtype).eps, atol=1e-7)
    assert (there.cpu() == here).float().mean() > (0.5 if dtype == torch.float32 else 0.99)


@pytest.mark.usefixtures("_path")
def test_the_same_bytes_twice_and_in_slices():
    whole = normal((SIZE,), KEY, NAME, "cuda")
    assert torch.equal(normal((SIZE,), KEY, NAME, "cuda"), whole)
    for start, stop in ((1, 3), (HALF - 1, 5 * HALF + 2), (SIZE - 10, SIZE)):
        part = normal_(torch.empty(stop - start, device="cuda"), KEY, NAME, start=start)
        assert torch.equal(part, whole[start:stop])


def test_rows_and_hashes_are_those_of_the_cpu():
    values = torch.arange(1000)
    rows = keyed_hash(values, KEY, "hash")
    assert torch.equal(keyed_hash(values.cuda(), KEY, "hash").cpu(), rows)
    here, there = (normal_rows(r, 65, KEY, NAME).cpu() for r in (rows, rows.cuda()))
    torch.testing.assert_close(there, here, rtol=1e-5, atol=2e-6)


def test_no_copy_of_the_tensor_is_made():
    tensor = torch.zeros(1 << 28, dtype=torch.bfloat16, device="cuda")
    add_normal_(tensor, 0.01, KEY, NAME)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    add_normal_(tensor, 0.01, KEY, NAME)
    assert torch.cuda.max_memory_allocated() - before < tensor.nbytes // 16
