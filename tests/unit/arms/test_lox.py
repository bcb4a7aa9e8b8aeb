"""Low-rank extrapolation against NumPy's decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny_llama
from holdfast.arms.lox import change_factors, extrapolate, extrapolate_fully, first_factors
from holdfast.settings.stages import Lox

CPU = torch.device("cpu")


def models() -> tuple[torch.nn.Module, torch.nn.Module]:
    """An aligned model and the base that it differs from in every tensor."""
    return tiny_llama.model(seed=1), tiny_llama.model(seed=0)


@pytest.mark.parametrize("rank", [1, 6, 100])
def test_the_top_directions_of_every_change_are_added(rank: int) -> None:
    aligned, base = models()
    with torch.no_grad():
        aligned.model.norm.weight.add_(0.5)
    factors = change_factors(aligned, base, rank, CPU)
    moved, _ = models()
    moved.model.norm.weight.data.copy_(aligned.model.norm.weight)
    extrapolate(moved, factors, Lox(rank=rank, coefficient=1.25))
    before = tiny_llama.state(base)
    for name, parameter in moved.named_parameters():
        theirs = dict(aligned.named_parameters())[name].detach().double().numpy()
        expected = theirs
        if parameter.dim() > 1:
            left, values, right = np.linalg.svd(theirs - before[name].double().numpy())
            k = min(rank, len(values))
            expected = theirs + 1.25 * (left[:, :k] * values[:k]) @ right[:k]
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=0, atol=2e-5)


def test_one_decomposition_serves_every_rank() -> None:
    aligned, base = models()
    whole, small = (change_factors(aligned, base, rank, CPU) for rank in (8, 3))
    cut = first_factors(whole, 3)
    assert cut.keys() == small.keys()
    for name, factor in small.items():
        assert torch.equal(cut[name], factor)


def test_rank_zero_extrapolates_along_the_whole_change() -> None:
    aligned, base = models()
    whole, _ = models()
    extrapolate_fully(whole, base, Lox(rank=0, coefficient=0.5))
    extrapolate(aligned, change_factors(aligned, base, 99, CPU), Lox(rank=99, coefficient=0.5))
    for one, other in zip(whole.parameters(), aligned.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)


def test_sums_are_rounded_once_to_the_weights_type() -> None:
    aligned, base = models()
    factors = change_factors(aligned, base, 2, CPU)
    narrow = tiny_llama.model(torch.bfloat16, seed=1)
    wide = tiny_llama.model(torch.bfloat16, seed=1).float()
    for model in (narrow, wide):
        extrapolate(model, factors, Lox(rank=2))
    assert tiny_llama.same_bits(tiny_llama.state(narrow), tiny_llama.state(wide.bfloat16()))
