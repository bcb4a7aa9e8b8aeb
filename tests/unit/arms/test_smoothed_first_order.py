"""Noise-smoothed training against plain autograd on perturbed copies."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tiny_llama
from holdfast.arms.first_order import train
from holdfast.arms.schedule import rate_factor, sample_indices
from holdfast.arms.smoothed_first_order import PURPOSE, train_smoothed
from holdfast.engine.batches import collate
from holdfast.engine.parameters import layer_parameters
from holdfast.errors import HoldfastError
from holdfast.numerics.noise import normal
from holdfast.numerics.stream import key
from holdfast.settings.stages import FirstOrder, SmoothedFirstOrder
from places import HELPERS

EXAMPLES = tiny_llama.examples(30)
PLAIN = {"steps": 6, "learning_rate": 0.05, "compute": "float32", "save_every": 3}


def settings(**changes: object) -> SmoothedFirstOrder:
    return SmoothedFirstOrder(**PLAIN | {"rho": 0.05, "copies": 3, "batch_size": 2} | changes)


def reference(model: torch.nn.Module, chosen: SmoothedFirstOrder, layers: list[int] | None) -> None:
    """SGD on the mean gradient at deep copies that are moved by the keyed noise."""
    parameters = layer_parameters(model, layers)
    for step in range(chosen.steps):
        size = chosen.batch_size * chosen.gradient_accumulation
        rows = sample_indices(len(EXAMPLES), size, step, 3, "first_order")
        batch = collate([EXAMPLES[row] for row in rows], 0)._asdict()
        total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        for number in range(chosen.copies):
            moved = copy.deepcopy(model)
            theirs = layer_parameters(moved, layers)
            direction = key(3, PURPOSE, step=step, direction=number)
            for name, parameter in theirs.items():
                parameter.data += chosen.rho * normal(parameter.shape, direction, name)
            found = torch.autograd.grad(moved(**batch).loss, list(theirs.values()))
            for name, gradient in zip(theirs, found, strict=True):
                total[name] += gradient / chosen.copies
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        norm = torch.cat([gradient.flatten() for gradient in total.values()]).norm()
        rate = chosen.learning_rate * rate_factor(
            chosen.scheduler, step, chosen.steps, chosen.warmup_ratio
        )
        for name, parameter in parameters.items():
            parameter.data -= rate * min(1.0, 1.0 / (norm + 1e-6)) * total[name]


@pytest.mark.parametrize("layers", [None, [1]])
@pytest.mark.parametrize("changes", [{}, {"batch_size": 4, "gradient_accumulation": 4}])
def test_a_step_follows_the_mean_gradient_of_perturbed_copies(
    layers: list[int] | None, changes: dict[str, int], tmp_path: Path
) -> None:
    ours, theirs = tiny_llama.model(), tiny_llama.model()
    start = tiny_llama.state(ours)
    chosen = settings(**changes)
    train_smoothed(ours, EXAMPLES, chosen, layers=layers, seed=3, scratch=tmp_path)
    reference(theirs, chosen, layers)
    trained = layer_parameters(ours, layers)
    for name, parameter in ours.named_parameters():
        expected = dict(theirs.named_parameters())[name]
        torch.testing.assert_close(parameter, expected, rtol=1e-3, atol=1e-4)
        assert torch.equal(parameter, start[name]) == (name not in trained)


def test_without_noise_it_is_first_order_training(tmp_path: Path) -> None:
    smoothed, plain = tiny_llama.model(), tiny_llama.model()
    chosen = settings(rho=1e-12, copies=1)
    train_smoothed(smoothed, EXAMPLES, chosen, layers=None, seed=0, scratch=tmp_path / "a")
    same = FirstOrder(**PLAIN | {"batch_size": 2})
    train(plain, EXAMPLES, same, seed=0, scratch=tmp_path / "b")
    for ours, theirs in zip(smoothed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import tiny_llama
import test_smoothed_first_order as case
from holdfast.arms import first_order, smoothed_first_order
save = first_order.save_state
def save_then_die(*arguments, **named):
    save(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
first_order.save_state = save_then_die
smoothed_first_order.train_smoothed(
    tiny_llama.model(), case.EXAMPLES, case.settings(), layers=[0, 2], seed=1,
    scratch=Path(sys.argv[1]),
)
"""


def test_killed_training_resumes_with_the_same_bits(tmp_path: Path) -> None:
    whole, resumed = tiny_llama.model(), tiny_llama.model()
    how = {"layers": [0, 2], "seed": 1}
    expected = train_smoothed(whole, EXAMPLES, settings(), **how, scratch=tmp_path / "whole")
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(tmp_path / "cut"),
        str(Path(__file__).parent),
        str(HELPERS),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(command, check=False, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (
        train_smoothed(resumed, EXAMPLES, settings(), **how, scratch=tmp_path / "cut") == expected
    )
    assert tiny_llama.same_bits(tiny_llama.state(resumed), tiny_llama.state(whole))


def test_divergence_is_told(tmp_path: Path) -> None:
    wild = settings(rho=1e30)
    with pytest.raises(HoldfastError, match="first-order step 0: "):
        train_smoothed(tiny_llama.model(), EXAMPLES, wild, layers=None, seed=0, scratch=tmp_path)
