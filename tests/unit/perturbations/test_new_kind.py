"""A perturbation of a new kind is a settings class and a module of its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dry_runs import snakemake
from new_kinds import add_kind
from places import HELPERS, ROOT

SETTINGS = """
class Scaled(PerturbationSettings):
    copied_weights: ClassVar[Literal["none", "linear", "all"]] = "all"
    kind: Literal["scaled"]
    levels: list[float]

    @property
    def symbol(self):
        return "s"

Perturbation = Annotated[Perturbation.__origin__ | Scaled, Field(discriminator="kind")]
"""
MODULE = """
from contextlib import contextmanager
import torch
from holdfast.engine.parameters import restored

@contextmanager
def perturb(model, settings, level, noise_seed):
    parameters = dict(model.named_parameters())
    with restored(parameters), torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(float(level))
        yield
"""
OVERLAY = """
perturbations:
  scaled: {kind: scaled, levels: [0.9, 1.1]}
figures:
  scales:
    {kind: asr_curve, title: S, arms: [fo], perturbations: [scaled], metrics: [harmbench]}
"""
PERTURBING = """
import tiny_llama
from holdfast.perturbations.registry import perturb
from holdfast.settings.perturbations import Scaled

model = tiny_llama.model()
name, weight = next(iter(model.named_parameters()))
before = weight.detach().clone()
with perturb(model, Scaled(kind="scaled", levels=[0.5]), "0.5", 0):
    print(bool((weight == before / 2).all()))
print(bool((weight == before).all()))
"""


def test_two_places_make_a_perturbation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{HELPERS}")
    add_kind(tmp_path, monkeypatch, "perturbations", SETTINGS, scaled=MODULE)
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(OVERLAY, encoding="utf-8")
    configs = ["--configfile", str(ROOT / "config" / "config.yaml"), str(overlay)]
    run = snakemake("-n", "-p", "--directory", str(tmp_path), "scales", *configs)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "fo/seed0/scaled/completions.jsonl" in run.stdout
    assert "scaled/quantized" not in run.stdout
    perturbed = subprocess.run(
        [sys.executable, "-c", PERTURBING],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert perturbed.stdout.split() == ["True", "True"], perturbed.stderr
