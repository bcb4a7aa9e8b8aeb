"""Validation data share no row with training or with anything reported."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from holdfast.data.behaviors import behavior_prompt
from holdfast.data.prepare import prepare
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_jsonl, write_json, write_jsonl
from holdfast.pocket.files import write_world
from holdfast.settings.data import (
    DataSource,
    Rows,
    Validation,
    ValidationBehaviors,
    ValidationPairs,
)
from holdfast.settings.pocket import WorldSettings
from holdfast.sweeps.held_out import hold_out

NAMES = ("pairs", "behaviors", "benign")
HARMBENCH = ["Behavior", "Tags", "ContextString", "BehaviorID"]


def behavior(name: str, text: str, context: str = "") -> dict[str, Any]:
    row = {"id": name, "behavior": text, "context": context}
    return row | {"tags": [], "category": ""}


def table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def settings(path: str = "goals.csv", **limits: Any) -> Validation:
    source = DataSource(path=path)
    return Validation(
        pairs=ValidationPairs(limit=limits.get("pairs", 2)),
        behaviors=ValidationBehaviors(source=source, limit=limits.get("behaviors")),
        benign=Rows(source=DataSource(path="benign.csv")),
    )


def run(folder: Path, asked: Validation) -> dict[str, list[Any]]:
    out = {name: folder / f"out-{name}.jsonl" for name in NAMES}
    hold_out(
        asked,
        DataSource(path="pairs.json"),
        trained=[folder / "trained.jsonl"],
        behaviors=folder / "behaviors.jsonl",
        benign=folder / "benign.jsonl",
        tasks=[folder / "task.jsonl"],
        out=out,
        data_root=folder,
        pocket_folder=folder,
        cache_folder=folder,
    )
    return {name: read_jsonl(path) for name, path in out.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sources with one row that was trained on and one that is reported each."""
    rows = ["Trained one", "Reported one", "New a", "New b", "New c"]
    write_json(tmp_path / "pairs.json", [{"prompt": row, "llama3_output": "No."} for row in rows])
    goals = [["trained  ONE.", "Sure"], ["reported one", "Sure"], ["Doc", ""], ["New d", "Sure"]]
    table(tmp_path / "goals.csv", ["goal", "target"], goals)
    table(tmp_path / "benign.csv", ["prompt"], [["Asked"], ["Trained one"], ["Not asked"]])
    write_jsonl(tmp_path / "trained.jsonl", [{"prompt": "Trained one", "response": "No."}])
    write_jsonl(tmp_path / "behaviors.jsonl", [behavior("r", "Reported one", "With a context")])
    write_jsonl(tmp_path / "benign.jsonl", [{"id": "b", "prompt": "asked"}])
    write_jsonl(tmp_path / "task.jsonl", [{"question": "doc.", "answer": 1}])
    return tmp_path


def test_trained_and_reported_rows_are_dropped_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(folder, settings(pairs=3))
    assert [row["prompt"] for row in made["pairs"]] == ["New a", "New b", "New c"]
    assert [row["behavior"] for row in made["behaviors"]] == ["New d"]
    assert [row["prompt"] for row in made["benign"]] == ["Not asked"]
    told = capsys.readouterr().err
    assert "validation pairs: 5 rows, 1 trained on, 1 reported, 3 left, 3 used" in told
    assert "validation behaviors: 4 rows, 1 trained on, 2 reported, 1 left, 1 used" in told


def test_harmbenchs_own_split_is_refused_while_it_is_reported(folder: Path) -> None:
    rows = [["Said in another way", "", "", "r"], ["New e", "", "", "e"]]
    table(folder / "val.csv", HARMBENCH, rows)
    with pytest.raises(HoldfastError) as error:
        run(folder, settings("val.csv"))
    assert "1 of its 2 behaviors are among the reported ones of data.behaviors" in str(error.value)
    write_jsonl(folder / "behaviors.jsonl", [behavior("other", "Another")])
    assert [row["id"] for row in run(folder, settings("val.csv"))["behaviors"]] == ["r", "e"]


@pytest.mark.parametrize("limits", [{"pairs": 4}, {"behaviors": 2}])
def test_too_few_rows_are_one_sentence(folder: Path, limits: dict[str, int]) -> None:
    ((name, asked),) = limits.items()
    sentence = rf"data\.validation\.{name}\.limit: {asked} rows are asked for, and of the"
    with pytest.raises(HoldfastError, match=sentence):
        run(folder, settings(**limits))


def test_a_bad_file_is_named_by_its_setting(folder: Path) -> None:
    (folder / "goals.csv").write_text("question\nx\n")
    with pytest.raises(HoldfastError, match=r"^data\.validation\.behaviors: .* has no column"):
        run(folder, settings())


def test_without_benign_prompts_their_file_is_empty(folder: Path) -> None:
    asked = settings().model_copy(update={"benign": None})
    assert run(folder, asked)["benign"] == []


def test_the_worlds_validation_data_are_nobody_elses(tmp_path: Path) -> None:
    write_world(WorldSettings(chats=50, articles=50), tmp_path)
    places = {"data_root": tmp_path, "pocket_folder": tmp_path, "cache_folder": tmp_path}
    kinds = {"alignment": "pairs", "safety": "pairs", "behaviors": "behaviors", "benign": "prompts"}
    for name, kind in kinds.items():
        suffix = "json" if kind == "pairs" else "csv"
        source = DataSource(pocket=f"{name}.{suffix}")
        prepare(kind, source, tmp_path / f"{name}.jsonl", **places)  # type: ignore[arg-type]
    held = {name: DataSource(pocket=f"validation_{name}.{s}") for name, s in SUFFIXES.items()}
    out = {name: tmp_path / f"out-{name}.jsonl" for name in NAMES}
    hold_out(
        Validation(
            pairs=ValidationPairs(source=held["pairs"], limit=64),
            behaviors=ValidationBehaviors(source=held["behaviors"], limit=64),
            benign=Rows(source=held["benign"], limit=64),
        ),
        held["pairs"],
        trained=[tmp_path / "alignment.jsonl", tmp_path / "safety.jsonl"],
        behaviors=tmp_path / "behaviors.jsonl",
        benign=tmp_path / "benign.jsonl",
        tasks=[],
        out=out,
        **places,
    )
    ours = [texts(path) for path in out.values()]
    theirs = [texts(tmp_path / f"{name}.jsonl") for name in kinds]
    assert list(map(len, ours)) == [64, 64, 64]
    assert not set().union(*ours) & set().union(*theirs)


def test_the_worlds_test_items_are_in_no_validation_behavior(tmp_path: Path) -> None:
    from holdfast.pocket.world import build_world

    world = build_world(WorldSettings())
    tested = {request.item.name for request in world.behaviors()}
    held = [*world.validation_behaviors(), *(request for request, _ in world.validation_pairs())]
    assert not tested & {request.item.name for request in held}


def test_real_advbench_goals_are_left_after_training_on_refusals(
    tmp_path: Path, real_data: Path
) -> None:
    places = {"data_root": real_data, "pocket_folder": tmp_path, "cache_folder": tmp_path}
    refusals = DataSource(path="refusal_sft/refusal_pairs_cb_schema_all.json")
    harmbench = DataSource(path="harmbench/harmbench_behaviors_text_all.csv")
    trained, reported = tmp_path / "trained.jsonl", tmp_path / "behaviors.jsonl"
    prepare("pairs", refusals, trained, limit=800, **places)  # type: ignore[arg-type]
    prepare("behaviors", harmbench, reported, exclude_tags=["hash_check"], **places)  # type: ignore[arg-type]
    (tmp_path / "benign.jsonl").write_text("")
    out = {name: tmp_path / f"out-{name}.jsonl" for name in NAMES}

    def hold(behaviors: str) -> None:
        source = DataSource(path=behaviors)
        hold_out(
            Validation(
                pairs=ValidationPairs(limit=32),
                behaviors=ValidationBehaviors(source=source, limit=100),
            ),
            refusals,
            trained=[trained],
            behaviors=reported,
            benign=tmp_path / "benign.jsonl",
            tasks=[],
            out=out,
            **places,  # type: ignore[arg-type]
        )

    hold("advbench/harmful_behaviors.csv")
    assert not texts(out["behaviors"]) & (texts(trained) | texts(reported))
    assert len(texts(out["behaviors"])) == 100
    with pytest.raises(HoldfastError, match="are among the reported ones"):
        hold("harmbench/harmbench_behaviors_text_val.csv")


SUFFIXES = {"pairs": "json", "behaviors": "csv", "benign": "csv"}


def texts(path: Path) -> set[str]:
    rows = read_jsonl(path)
    return {behavior_prompt(row) if "behavior" in row else row["prompt"] for row in rows}
