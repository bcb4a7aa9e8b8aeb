from __future__ import annotations

import pytest
import torch
from transformers import get_scheduler

from holdfast.arms.schedule import rate_factor, sample_indices


@pytest.mark.parametrize("scheduler", ["constant_with_warmup", "cosine"])
@pytest.mark.parametrize(("steps", "ratio"), [(100, 0.05), (100, 0.08), (10, 0.0), (7, 0.5)])
def test_rates_are_those_of_transformers(scheduler: str, steps: int, ratio: float) -> None:
    warmup = -int(-steps * ratio // 1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_scheduler(scheduler, optimizer, warmup, steps)
    for step in range(steps):
        expected = theirs.get_last_lr()[0]
        assert rate_factor(scheduler, step, steps, ratio) == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        theirs.step()


def test_each_epoch_takes_every_sample_once_in_a_new_order() -> None:
    taken = [index for step in range(15) for index in sample_indices(20, 4, step, 1, "a")]
    epochs = [taken[start : start + 20] for start in (0, 20, 40)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_step_may_straddle_epochs_and_be_larger_than_the_data() -> None:
    taken = [index for step in range(3) for index in sample_indices(5, 8, step, 1, "a")]
    assert sorted(taken) == sorted([*range(5)] * 4 + taken[20:])
    assert len(set(taken[20:])) == 4


def test_order_depends_on_seed_and_purpose() -> None:
    orders = {
        tuple(sample_indices(50, 50, 0, seed, purpose)) for seed in (0, 1) for purpose in "ab"
    }
    assert len(orders) == 4
