"""Judges and perturbations of the user's own: found and hashed unread, imported where used."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from holdfast.config import load_settings
from holdfast.errors import HoldfastError
from holdfast.plan import Plan
from holdfast.preflight import own
from holdfast.settings.judges import Judge
from holdfast.settings.own import load_own
from places import ROOT

SOURCE = """
raise RuntimeError("imported")
class Polite:
    def judge(self, behaviors, completions): ...
    def perturb(self, model, level, key): ...
"""
WHERE = SimpleNamespace(model="pocket", arm="original", seed=0)
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the module ``my_code.kinds`` into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for module in ("my_code", "my_code.kinds"):
        monkeypatch.delitem(sys.modules, module, raising=False)

    def written(source: str) -> Path:
        file = tmp_path / "my_code" / "kinds.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(source, encoding="utf-8")
        return file

    return written


def config(name: str = "my_code.kinds:Polite", **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    entry = {"kind": "python", "object": name, "options": {"word": "please"}} | changes
    values["judges"]["polite"] = entry
    values["perturbations"]["mine"] = entry | {"levels": [0.5, 2], "draws": 2}
    return values


def params(plan: Plan) -> list[str]:
    shown = [job for job in plan.evaluation.jobs if "original" in job.alike]
    jobs = [*(job for job in plan.judging.jobs if job.read.evaluated in shown), *shown]
    return [job.params(WHERE) for job in jobs]


def test_a_run_is_planned_without_importing_and_holds_the_digest(write: Write) -> None:
    file = write(SOURCE)
    before = params(Plan(load_settings(config())))
    digest = hashlib.sha256(SOURCE.encode()).hexdigest()
    # A judge of both groups of perturbations, and the group that holds the perturbation itself.
    assert [digest in text for text in before].count(True) == 3
    assert params(Plan(load_settings(config()))) == before
    file.write_text(f"{SOURCE}# changed", encoding="utf-8")
    after = params(Plan(load_settings(config())))
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == [digest in text for text in before]
    assert "my_code" not in sys.modules


def test_an_own_perturbation_is_tested_at_its_levels_and_draws(write: Write) -> None:
    write(SOURCE)
    entry = load_settings(config()).perturbations["mine"]
    assert entry.cells == [("0.5", 0), ("0.5", 1), ("2", 0), ("2", 1)]
    assert entry.noise_seeds(1) == {"0.5": [1000, 1001], "2": [1000, 1001]}
    assert entry.only(["2.0"]).cells == [("2", 0), ("2", 1)]


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        (
            "my_code.kind:Polite",
            SOURCE,
            "there is no module 'my_code.kind' in the working folder or on"
            " Python's path; correct the name, or put my_code/kind.py there",
        ),
        ("my_code.kinds:Polit", SOURCE, "has no class 'Polit'; did you mean 'Polite'?"),
        ("my_code.kinds:Polite", "class Polite: ...", "has no method `judge`; write one"),
        ("my_code.kinds:Polite", "class Polite", "kinds.py cannot be read as Python: "),
        (
            "my_code.kinds",
            SOURCE,
            "'my_code.kinds' is wrong: give your class as package.module:Class",
        ),
    ],
)
def test_what_the_source_shows_to_be_wrong_is_told_before_anything_runs(
    write: Write, name: str, source: str, sentence: str
) -> None:
    write(source)
    values = config(name)
    del values["perturbations"]["mine"]
    with pytest.raises(HoldfastError) as error:
        load_settings(values)
    assert str(error.value).startswith("judges.polite.object: ")
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (SOURCE, "cannot be imported: RuntimeError: imported (line 2 of kinds.py)"),
        ("Polite = 3 if len('') else None", "cannot be made of its `options`: TypeError: "),
        ("class Other:\n    def __init__(self, word): ...\nPolite = Other", "no method `judge`"),
        ("Polite = 3\ndel Polite", "kinds.py has no class 'Polite'"),
    ],
)
def test_what_importing_shows_to_be_wrong_is_one_sentence(
    write: Write, source: str, sentence: str
) -> None:
    write(source)
    settings = load_settings(config())
    (finding, _) = own.check(settings)
    assert finding.ok is False
    assert finding.text.startswith("judges.polite.object: 'my_code.kinds:Polite' ")
    assert sentence in finding.text


def test_a_file_that_changed_since_the_run_was_planned_is_not_used(write: Write) -> None:
    file = write("class Polite:\n    judge = perturb = print\n    def __init__(self, word): ...")
    entry = load_settings(config()).judges["polite"]
    assert [finding.ok for finding in own.check(load_settings(config()))] == [True, True]
    file.write_text("class Polite: ...", encoding="utf-8")
    with pytest.raises(HoldfastError, match=r"has another sha256 than [0-9a-f]{64}; correct"):
        load_own(entry)


def test_a_module_with_the_name_of_another_that_is_in_use_is_refused(
    write: Write, tmp_path: Path
) -> None:
    write("").parent.joinpath("../json.py").write_text("class Polite:\n    judge = print")
    entry = TypeAdapter(Judge).validate_python({"kind": "python", "object": "json:Polite"})
    with pytest.raises(HoldfastError, match=r"/json/__init__.py was imported under this name"):
        load_own(entry)
    assert sys.path[-1] == str(tmp_path)


def test_the_checks_before_a_run_tell_that_there_is_no_own_code() -> None:
    values = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert [finding.text for finding in own.check(load_settings(values))] == [
        "the config names no code of your own"
    ]
