"""Checks of data and tasks before a run."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

import fake_hub
from fake_hub import FakeHub
from holdfast.preflight import data, tasks
from holdfast.preflight.finding import Finding
from preflights import DEFAULT, failures, settings

HEADER = ["Behavior", "FunctionalCategory", "SemanticCategory", "Tags", "ContextString"]


@pytest.mark.parametrize(
    ("columns", "rows", "complaint"),
    [
        (HEADER, [["a"] * 5], "has no column BehaviorID"),
        ([*HEADER, "BehaviorID"], [[" ", "s", "c", "", "", "1"]], "row 1 has an empty behavior"),
        ([*HEADER, "BehaviorID"], [["a", "s", "c", "", "", "1"]] * 2, "occur more than once, '1'"),
        ([*HEADER, "BehaviorID"], [["é", "s", "c", "", "", "1"]], "is not text in UTF-8"),
    ],
)
def test_unusable_behaviors_are_told_before_the_run(
    tmp_path: Path, columns: list[str], rows: list[list[str]], complaint: str
) -> None:
    with (tmp_path / "b.csv").open("w", encoding="latin-1", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    source = {"pocket": None, "path": "b.csv"}
    (told,) = failures(settings(data={"behaviors": {"source": source}}, data_root=str(tmp_path)))
    assert "✗ data.behaviors.source: " in told
    assert complaint in told


def test_validation_data_are_checked_too(tmp_path: Path) -> None:
    absent = {"source": {"pocket": None, "path": "absent.csv"}}
    validation = {"behaviors": absent, "pairs": absent, "benign": absent}
    found = failures(settings(data={"validation": validation}))
    assert [line.split(":")[0] for line in found] == [
        f"✗ data.validation.{name}.source.path" for name in ("behaviors", "pairs", "benign")
    ]


def _check(path: Path, digest: str | None = None) -> list[Finding]:
    body = path.read_bytes() if path.exists() else b""
    source = {
        "pocket": None,
        "url": path.as_uri(),
        "sha256": digest or hashlib.sha256(body).hexdigest(),
    }
    given = settings(data={"benign": {"source": source}})
    return [one for one in data.check(given) if "data.benign" in one.text]


def test_addresses_are_asked_and_checksums_compared(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    assert "cannot be reached (URLError)" in _check(path)[0].text
    path.write_text("id,prompt\n1,Hello\n")
    assert _check(path) == [Finding(True, f"data.benign.source.url: file://{path} answers")]
    given = settings(
        data={"benign": {"source": {"pocket": None, "path": str(path), "sha256": "0" * 64}}}
    )
    (told,) = failures(given)
    assert "data.benign.source.sha256" in told


def test_tasks_of_lm_evals_own_and_their_data_sets(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm_eval_tasks = pytest.importorskip("lm_eval.tasks")
    folder = Path(lm_eval_tasks.__file__).parent
    few = [str(folder / name) for name in ("mmlu/default", "truthfulqa", "piqa")]
    index = lm_eval_tasks.TaskManager(include_path=few, include_defaults=False).task_index
    assert set(tasks.data_sets(index, "mmlu")) == {"cais/mmlu"}
    assert "truthfulqa/truthful_qa" in set(tasks.data_sets(index, "truthfulqa"))
    monkeypatch.setattr(tasks, "registry", lambda: index)
    hub.repositories["cais/mmlu"] = fake_hub.Repository({}, gated=True)
    hub.repositories["baber/piqa"] = fake_hub.Repository({})
    overlay = dict.fromkeys(DEFAULT["utility"]["lm_eval"]["tasks"]) | {
        name: {} for name in ("mmlu", "piqa", "pika")
    }
    given = settings(utility={"lm_eval": {"tasks": overlay}})
    unknown, opened, gated = tasks.check(given)
    assert "no task 'pika'; did you mean 'piqa'?" in unknown.text
    assert "https://huggingface.co/datasets/cais/mmlu " in gated.text
    assert (gated.ok, opened.ok) == (False, True)
