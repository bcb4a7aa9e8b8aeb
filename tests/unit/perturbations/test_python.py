"""A perturbation of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

import tiny_llama
from holdfast.errors import HoldfastError
from holdfast.numerics.noise import normal
from holdfast.numerics.stream import key
from holdfast.perturbations.registry import perturb
from holdfast.settings.perturbations import Perturbation

NAME = "model.layers.0.mlp.up_proj.weight"
SOURCE = """
from contextlib import contextmanager
import torch
from holdfast.numerics.noise import normal

class Shift:
    def __init__(self, name, restores=True):
        self.name, self.restores = name, restores

    @contextmanager
    def perturb(self, model, level, key):
        weight = model.get_parameter(self.name)
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.add_((1.0 if level is None else level) * normal(weight.shape, key, self.name))
        yield
        if self.restores:
            with torch.no_grad():
                weight.copy_(kept)

class Plain:
    def perturb(self, model, level, key):
        return 3
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shifts.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shifts", raising=False)


def entry(name: str = "Shift", **changes: Any) -> Any:
    values = {"kind": "python", "object": f"shifts:{name}"} | changes
    return TypeAdapter(Perturbation).validate_python(values)


@pytest.mark.parametrize(("levels", "level", "scale"), [([0.5, 2], "0.5", 0.5), ([], "", 1.0)])
def test_it_gets_the_level_and_the_keyed_noise_of_the_draw(
    levels: list[float], level: str, scale: float
) -> None:
    model = tiny_llama.model()
    before = model.get_parameter(NAME).clone()
    with perturb(model, entry(options={"name": NAME}, levels=levels), level, 4):
        moved = model.get_parameter(NAME).detach() - before
    noise = normal(before.shape, key(4, "shifts:Shift"), NAME)
    torch.testing.assert_close(moved, scale * noise, rtol=1e-3, atol=1e-5)
    assert torch.equal(model.get_parameter(NAME), before)


def test_weights_that_it_leaves_changed_are_an_error() -> None:
    settings = entry(options={"name": NAME, "restores": False})
    with (
        pytest.raises(HoldfastError, match="leaves other weights behind than it found"),
        perturb(tiny_llama.model(), settings, "", 4),
    ):
        pass


def test_what_is_no_context_manager_is_one_sentence() -> None:
    with (
        pytest.raises(HoldfastError, match="object: 'shifts:Plain': `perturb` returns no context"),
        perturb(tiny_llama.model(), entry("Plain"), "", 4),
    ):
        pass
