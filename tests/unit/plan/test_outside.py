"""Parameters of stages name what lies outside by its content, whatever its date."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from holdfast.config import load_settings
from holdfast.plan import Plan
from places import CONFIG

PLACE = SimpleNamespace(model="own", arm="original", perturbation="ready", seed=0)
CHECKPOINTS = ("models/own", "models/judge", "models/copy")
FILES = ("behaviors.csv", "template.json")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A config that reads checkpoints and files of the working folder."""
    monkeypatch.chdir(tmp_path)
    for folder in CHECKPOINTS:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
        (tmp_path / folder / "model.safetensors").write_text(folder)
    for name in FILES:
        (tmp_path / name).write_text(name)
    made: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    made["models"] = {"own": {"path": "models/own", "layers": 3}}
    made["judges"] = {
        "harmbench": {
            "kind": "harmbench",
            "model": {"path": "models/judge", "layers": 3},
            "template": {"path": "template.json"},
        }
    }
    made["data"]["behaviors"] = {"source": {"path": "behaviors.csv"}}
    copies = {"int4": [{"model": "own", "path": "models/copy"}]}
    made["perturbations"]["ready"] = {"kind": "checkpoint", "levels": copies}
    section = {"arm": "original", "perturbations": ["none", "ready"]}
    shown = {"kind": "robustness", "title": "x", "sections": [section]}
    made["tables"] = {"shown": shown | {"metrics": ["harmbench", "perplexity"]}}
    made["figures"] = {}
    made["data_root"] = "."
    return made


def parameters(config: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of the stages that read from outside, by what they read."""
    plan = Plan(load_settings(config))
    judge = plan.settings.judges["harmbench"]
    return {
        "models/own": plan.models.params(plan.settings.models["own"]),
        "models/judge": plan.models.params(judge.model),
        "models/copy": plan.evaluation.ready_made_params(PLACE),
        "behaviors.csv": plan.data.params(SimpleNamespace(dataset="behaviors")),
        "template.json": plan.data.params(SimpleNamespace(dataset="template-harmbench")),
    }


@pytest.mark.parametrize("replaced", [*CHECKPOINTS, *FILES])
def test_a_replaced_input_changes_the_parameters_of_its_stage_alone(
    config: dict[str, Any], tmp_path: Path, replaced: str
) -> None:
    before = parameters(config)
    path = tmp_path / replaced
    file = path / "model.safetensors" if path.is_dir() else path
    os.utime(file, (2_000_000_000, 2_000_000_000))
    assert parameters(config) == before  # a date says nothing
    file.write_text(file.read_text()[::-1])
    os.utime(file, (1_000_000_000, 1_000_000_000))
    after = parameters(config)
    assert [name for name in before if after[name] != before[name]] == [replaced]


def test_what_is_not_there_is_left_to_the_stage_that_says_so(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "behaviors.csv").unlink()
    config["models"]["own"]["path"] = "~nobody-of-that-name/model"
    made = parameters(config)
    assert len(json.loads(made["behaviors.csv"])) == 3
    assert len(json.loads(made["models/own"])) == 2


def test_a_digest_in_the_config_says_it_already(config: dict[str, Any], tmp_path: Path) -> None:
    content = (tmp_path / "behaviors.csv").read_bytes()
    pinned = {"path": "behaviors.csv", "sha256": hashlib.sha256(content).hexdigest()}
    config["data"]["behaviors"]["source"] = pinned
    assert len(json.loads(parameters(config)["behaviors.csv"])) == 3
    (tmp_path / "behaviors.csv").write_text("another file")
    assert len(json.loads(parameters(config)["behaviors.csv"])) == 4


def test_the_embedded_world_adds_nothing() -> None:
    plan = Plan(load_settings(yaml.safe_load(CONFIG.read_text())))
    (model,) = plan.settings.models.values()
    assert plan.models.params(model) == plan.params("model", model)
    rows = plan.settings.data.behaviors
    found = plan.data.params(SimpleNamespace(dataset="behaviors"))
    assert found == plan.params("data", "behaviors", rows)
