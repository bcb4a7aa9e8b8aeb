"""Losses and gradients around a model against autograd and plain copies with added noise."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import tiny_llama
from holdfast.arms.make import make_zeroth_order
from holdfast.engine.batches import collate, make_batches
from holdfast.engine.loss import response_loss
from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json, write_jsonl
from holdfast.files.journal import Journal
from holdfast.gap import measure as module
from holdfast.gap.make import make_gap
from holdfast.gap.measure import measure
from holdfast.numerics.noise import normal
from holdfast.numerics.stream import key
from holdfast.settings.gap import GapSettings
from holdfast.settings.stages import ZerothOrder

EXAMPLES = tiny_llama.examples(6)
BATCHES = make_batches(EXAMPLES, 3)


def run(path: Path, model: Any = None, **changes: Any) -> dict[str, Any]:
    settings = GapSettings(**{"rho": [0.02, 0.05], "draws": 3, "gradient_copies": 8} | changes)
    model = model or tiny_llama.model()
    around = measure(model, BATCHES, settings, seed=7, journal=Journal(path, {}))
    return around.model_dump(mode="json")


def moved(scale: float, draw: int) -> Any:
    """A copy of the model at theta + scale * v."""
    noisy = tiny_llama.model()
    for name, parameter in noisy.named_parameters():
        direction = normal(parameter.shape, key(7, "robustness_gap", direction=draw), name)
        parameter.data += scale * direction
    return noisy


def gradient(model: Any) -> torch.Tensor:
    loss = model(**collate(EXAMPLES, 0)._asdict()).loss
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_model_is_left_as_it_was(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_llama.model(dtype)
    before = tiny_llama.state(model)
    run(tmp_path / "journal", model)
    assert tiny_llama.same_bits(before, tiny_llama.state(model))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_losses_are_those_of_copies_with_added_noise(tmp_path: Path) -> None:
    found = run(tmp_path / "journal")
    assert found["loss"] == response_loss(tiny_llama.model(), BATCHES)
    for size, rho in enumerate((0.02, 0.05)):
        for draw in range(3):
            for way, scale in (("plus", rho), ("minus", -rho)):
                expected = response_loss(moved(scale, draw), BATCHES)
                assert found[way][size][draw] == pytest.approx(expected, abs=1e-5)


def test_gradients_are_autograds(tmp_path: Path) -> None:
    found = run(tmp_path / "journal")["gradient"]
    exact = gradient(tiny_llama.model())
    assert found["square"] == pytest.approx(float(exact @ exact), rel=1e-4)
    for size, rho in enumerate((0.02, 0.05)):
        pairs = [(gradient(moved(rho, d)) + gradient(moved(-rho, d))) / 2 for d in range(4)]
        first = (pairs[0] + pairs[1]) / 2
        inner = [float(first @ pair) for pair in pairs[2:]]
        value, error = found["smoothed"][size]
        assert value == pytest.approx(sum(inner) / 2, rel=1e-3)
        # The mean of two has the standard error |a - b| / 2, and the first half makes as much.
        expected = math.sqrt(2) * abs(inner[0] - inner[1]) / 2
        assert error == pytest.approx(expected, rel=1e-2, abs=1e-5)


def test_second_differences_have_the_trace_of_autograds_hessian(tmp_path: Path) -> None:
    model = tiny_llama.model()
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
        loss = model(**collate(EXAMPLES, 0)._asdict()).loss
    parameters = list(model.parameters())
    slopes = torch.autograd.grad(loss, parameters, create_graph=True)
    # v'Hv for the same directions is the limit of small rho, extrapolated from two (Richardson).
    draws, sizes = 6, (0.002, 0.004)
    found = run(tmp_path / "journal", rho=list(sizes), draws=draws, gradient_copies=0)
    assert found["gradient"] is None
    for draw in range(draws):
        named = [name for name, _ in model.named_parameters()]
        v = [
            normal(p.shape, key(7, "robustness_gap", direction=draw), name)
            for name, p in zip(named, parameters, strict=True)
        ]
        along = sum((slope * part).sum() for slope, part in zip(slopes, v, strict=True))
        curved = torch.autograd.grad(along, parameters, retain_graph=True)
        exact = float(sum((c * part).sum() for c, part in zip(curved, v, strict=True)))
        near, far = (
            (found["plus"][size][draw] + found["minus"][size][draw] - 2 * found["loss"]) / rho**2
            for size, rho in enumerate(sizes)
        )
        assert (4 * near - far) / 3 == pytest.approx(exact, rel=0.02, abs=1.0)


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path, monkeypatch: Any) -> None:
    whole = run(tmp_path / "whole")
    calls, plain = 0, response_loss

    def dying(model: Any, batches: Any) -> float:
        nonlocal calls
        calls += 1
        if calls > 6:  # in the second draw: one loss, then two a rho
            raise KeyboardInterrupt
        return plain(model, batches)

    monkeypatch.setattr(module, "response_loss", dying)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    calls = -1000
    assert run(tmp_path / "cut") == whole
    assert calls == -1000 + 8


def test_all_rho_and_arms_meet_the_same_draws(tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", rho=[0.05], gradient_copies=0)
    other = run(tmp_path / "other", copy.deepcopy(tiny_llama.model()), gradient_copies=0)
    assert alone["plus"][0] == other["plus"][1]


def test_a_loss_that_is_no_number_is_told(tmp_path: Path) -> None:
    model = tiny_llama.model()
    model.model.norm.weight.data.fill_(math.nan)
    with pytest.raises(HoldfastError, match=r"the loss is nan: lower gap\.rho"):
        run(tmp_path / "journal", model)


@pytest.mark.parametrize("wrong", [{"rho": [0.1, 0.1]}, {"gradient_copies": 6}, {"draws": 1}])
def test_settings_that_cannot_be_measured_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GapSettings(**wrong)


def test_an_arm_is_measured_from_its_folder(tmp_path: Path) -> None:
    base = tmp_path / "base"
    tiny_llama.model().save_pretrained(base / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(base / "checkpoint")
    about = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(base / "model.json", about | {"dtype": "float32"})
    pairs = [{"prompt": f"w{n}", "response": f"w{n + 1} w{n + 2}"} for n in range(8)]
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    common: dict[str, Any] = {"data": tmp_path / "pairs.jsonl", "max_length": 64, "seed": 0}
    make_zeroth_order(
        ZerothOrder(steps=2, learning_rate=0.2, directions=2),
        **common,
        parent=base,
        selection=None,
        weights=tmp_path / "zo",
        scratch=tmp_path / "scratch",
    )
    settings = GapSettings(rho=[0.02], draws=2, samples=4, gradient_copies=4)
    made = {
        name: make_gap(settings, **common, lineage=[tmp_path / name], scratch=tmp_path / "scratch")
        for name in ("base", "zo")
    }
    found = {name: gap.model_dump() for name, gap in made.items()}
    assert found["base"]["step"] is None
    assert found["zo"]["step"]["directions"] == 2
    assert found["zo"]["loss"] != found["base"]["loss"]
    assert found["base"]["samples"] == 4
    assert found["base"]["gradient"]["smoothed"][0][1] is None  # one pair tells no spread
    assert not (tmp_path / "scratch").exists()
