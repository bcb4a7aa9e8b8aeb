"""Public files are known by all of their columns; a column that may be either of two is asked."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.data.behaviors import load_behaviors
from holdfast.data.pairs import load_pairs
from holdfast.data.prepare import Kind, load
from holdfast.data.texts import load_prompts, load_texts
from holdfast.errors import HoldfastError
from holdfast.settings.data import DataSource

JAILBREAKBENCH = {
    "Index": "3",
    "Goal": "Write a blog post",
    "Target": "Here is",
    "Behavior": "Sexism",
    "Category": "Harassment",
    "Source": "Original",
}
STRONGREJECT = {"category": "Violence", "source": "custom", "forbidden_prompt": "Tell me"}


def _csv(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_label_is_not_taken_for_the_prompt(tmp_path: Path) -> None:
    path = _csv(tmp_path / "benign-behaviors.csv", JAILBREAKBENCH)
    assert load_prompts(path, {}) == [{"id": "3", "prompt": "Write a blog post"}]
    (row,) = load_behaviors(path, {})
    assert (row["id"], row["behavior"], row["tags"]) == ("3", "Write a blog post", [])
    assert row["category"] == "Harassment"


@pytest.mark.parametrize(
    ("kind", "row", "sentence"),
    [
        (
            "prompts",
            {"Goal": "Write", "Behavior": "Sexism"},
            r"a.csv: each of the columns Behavior and Goal may hold the prompt; .*"
            r"`columns: {prompt: Behavior}`",
        ),
        ("prompts", {"prompt": "Write", "Question": "Why"}, "columns prompt and Question may"),
        ("prompts", {"id": "1", "BehaviorID": "a", "prompt": "p"}, "id and BehaviorID may hold"),
        ("behaviors", JAILBREAKBENCH | {"note": "x"}, "columns Behavior and Goal may hold the beh"),
        ("behaviors", {"goal": "a", "prompt": "b"}, "columns goal and prompt may hold"),
        ("pairs", {"prompt": "a", "response": "b", "completion": "c"}, "response and completion"),
        ("pairs", {"prompt": "a", "llama3_output": "b", "response": "c"}, "llama3_output and resp"),
        ("pairs", {"prompt": "a", "instruction": "b", "response": "c"}, "prompt and instruction"),
    ],
)
def test_two_candidates_are_named_and_the_setting_decides(
    tmp_path: Path, kind: Kind, row: dict[str, str], sentence: str
) -> None:
    _csv(tmp_path / "a.csv", row)

    def rows(columns: dict[str, str]) -> Any:
        return load(
            kind,
            DataSource(path="a.csv", columns=columns),
            data_root=tmp_path,
            pocket_folder=tmp_path,
            cache_folder=tmp_path,
        )

    with pytest.raises(HoldfastError, match=sentence):
        rows({})
    ours = {"prompts": "prompt", "behaviors": "behavior", "pairs": "prompt"}[kind]
    named = {ours: next(iter(row)), "id": "id" if "id" in row else next(iter(row))}
    if kind == "pairs":
        named = {"prompt": "prompt", "response": "response"}
    elif "id" in row:
        named = {"id": "id"}
    assert len(rows(named)) == 1


def test_the_setting_overrides_a_known_layout(tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", JAILBREAKBENCH)
    columns = {"id": "Behavior", "prompt": "Target"}
    assert load_prompts(path, columns) == [{"id": "Sexism", "prompt": "Here is"}]
    (row,) = load_behaviors(path, {"behavior": "Goal"})
    assert (row["id"], row["behavior"]) == ("a_1", "Write a blog post")


def test_strongreject_and_others_without_identifiers_are_numbered(tmp_path: Path) -> None:
    (row,) = load_behaviors(_csv(tmp_path / "a.csv", STRONGREJECT), {})
    assert row == {
        "id": "a_1",
        "behavior": "Tell me",
        "context": "",
        "tags": [],
        "category": "Violence",
    }
    with pytest.raises(HoldfastError, match="no column prompt or Behavior or goal"):
        load_prompts(tmp_path / "a.csv", {})  # its prompts are harmful


XSTEST = [
    {"id": "1", "prompt": "Kill a process?", "type": "homonyms", "label": "safe"},
    {"id": "2", "prompt": "Kill a person?", "type": "contrast_homonyms", "label": "unsafe"},
]


@pytest.mark.parametrize("unlabelled", [True, False])
def test_unsafe_prompts_of_xstest_are_not_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unlabelled: bool
) -> None:
    rows = [row | {"focus": "kill", "note": ""} for row in XSTEST]
    rows = [{k: v for k, v in row.items() if not (unlabelled and k == "label")} for row in rows]
    path = _csv(tmp_path / "x.csv", *rows)
    assert load_prompts(path, {}) == [{"id": "1", "prompt": "Kill a process?"}]
    assert "1 of 2 rows are left out: each is no harmless prompt" in capsys.readouterr().out
    assert [row["behavior"] for row in load_behaviors(path, {})] == ["Kill a person?"]
    only = _csv(tmp_path / "y.csv", rows[1])
    with pytest.raises(HoldfastError, match="every row is left out"):
        load_prompts(only, {"prompt": "prompt"})


def _said(*turns: str, keys: tuple[str, str] = ("role", "content")) -> list[dict[str, str]]:
    roles = ("user", "assistant") if keys[0] == "role" else ("human", "gpt")
    return [{keys[0]: roles[index % 2], keys[1]: text} for index, text in enumerate(turns)]


SHAREGPT = ("from", "value")
PAIRS: dict[str, dict[str, Any]] = {
    "circuit breakers": {"category": "c", "prompt": "q", "llama3_output": "a", "output": "HARM"},
    "without categories": {"prompt": "q", "llama3_output": "a", "output": "HARM"},
    "Alpaca": {"instruction": "q", "input": "", "output": "a"},
    "Dolly": {"instruction": "q", "context": "", "response": "a", "category": "c"},
    "GSM8K": {"question": "q", "answer": "a"},
    "completions": {"prompt": "q", "completion": "a"},
    "conversational completions": {"prompt": _said("q"), "completion": _said("q", "a")[1:]},
    "conversational": {"prompt": _said("q"), "response": _said("q", "a")[1:]},
    "preferences": {"prompt": "q", "chosen": "a", "rejected": "HARM"},
    "messages": {"messages": _said("q", "a")},
    "messages with more": {"messages": _said("q", "a"), "score": 1, "split": "x"},
    "ShareGPT": {"id": "1", "conversations": _said("q", "a", keys=SHAREGPT)},
    "HH-RLHF": {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q"},
    "a null that is not read": {"prompt": "q", "response": "a", "x": None},
    "BeaverTails": {"prompt": "q", "response": "a", "category": {"x": False}, "is_safe": True},
}


@pytest.mark.parametrize("layout", PAIRS)
def test_known_pairs_are_read(tmp_path: Path, layout: str) -> None:
    path = _lines(tmp_path / "p.jsonl", PAIRS[layout])
    assert load_pairs(path, {}) == [{"prompt": "q", "response": "a"}]


def test_a_context_of_alpaca_follows_and_may_be_null(tmp_path: Path) -> None:
    rows = [
        {"instruction": "q", "input": "more", "output": "a"},
        {"instruction": "q", "input": None, "output": "a"},
    ]
    path = _lines(tmp_path / "p.jsonl", *rows)
    prompts = ["q\n\nmore", "q"]
    assert [row["prompt"] for row in load_pairs(path, {})] == prompts
    columns = {"prompt": "instruction", "context": "input", "response": "output"}
    assert [row["prompt"] for row in load_pairs(path, columns)] == prompts


def test_other_conversations_than_one_exchange_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = {"messages": _said("q", "a", "q2", "a2")}
    systems = {"messages": [{"role": "system", "content": "s"}, *_said("q", "a")]}
    path = _lines(tmp_path / "p.jsonl", long, {"messages": _said("q", "a")}, systems)
    assert load_pairs(path, {}) == [{"prompt": "q", "response": "a"}]
    assert "2 of 3 rows are left out: each is not one question" in capsys.readouterr().out
    assert len(load_pairs(path, {"messages": "messages"})) == 1
    with pytest.raises(HoldfastError, match="every row is left out, since it is not one question"):
        load_pairs(_lines(tmp_path / "o.jsonl", long), {})


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"messages": "hello"}, "row 1 holds no conversation .*'hello'"),
        ({"messages": [{"role": "user"}]}, "row 1 holds no conversation"),
        ({"messages": _said("q", " ")}, "row 1 has no text for the response; give it one"),
        ({"prompt": _said("q", "a"), "response": "a"}, "row 1 has no text for the prompt"),
        ({"prompt": "q", "llama3_output": "", "output": "x"}, "row 1 has no text for the resp"),
        ({"instruction": "q", "input": ["x"], "output": "a"}, "row 1: its context is no text"),
        ({"prompt": "q", "response": "a", "is_safe": "maybe"}, "row 1: is_safe is 'maybe'; give"),
    ],
)
def test_pairs_that_are_none_are_refused(
    tmp_path: Path, row: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(HoldfastError, match=sentence):
        load_pairs(_lines(tmp_path / "p.jsonl", row), {})


def test_a_row_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    rows = [{"prompt": "a"}, {"prompt": "b", "response": "c"}]
    with pytest.raises(HoldfastError, match="row 1 has no value in column response; fill it"):
        load_pairs(_lines(tmp_path / "p.jsonl", *rows), {})


@pytest.mark.parametrize("marks", [(False, True), ("False", "True"), ("0", "1")])
def test_rows_marked_unsafe_are_no_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], marks: tuple[Any, Any]
) -> None:
    rows = [{"prompt": "q", "response": f"{mark}", "is_safe": mark} for mark in marks]
    path = _lines(tmp_path / "p.jsonl", *rows)
    assert [row["response"] for row in load_pairs(path, {})] == [f"{marks[1]}"]
    assert "1 of 2 rows are left out: each is marked unsafe (`is_safe`)" in capsys.readouterr().out
    assert len(load_pairs(path, {}, unsafe=True)) == 2  # harmful fine-tuning learns them
    with pytest.raises(HoldfastError, match="has 1 rows to use and 2 are asked for"):
        load_pairs(path, {}, 2)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"prompt": ""}], "row 1 has an empty prompt; fill it"),
        ([{"prompt": {"a": "b"}}], "row 1: its prompt is no text"),
        ([{"id": "", "prompt": "a"}], "row 1 has an empty identifier"),
        ([{"id": 7, "prompt": "a"}, {"id": "7", "prompt": "b"}], "'7' among them .rows 1 and 2"),
    ],
)
def test_prompts_that_are_none_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(HoldfastError, match=sentence):
        load_prompts(_lines(tmp_path / "p.jsonl", *rows), {})


def test_a_turn_of_a_user_is_a_prompt_and_a_list_is_no_text(tmp_path: Path) -> None:
    path = _lines(tmp_path / "p.jsonl", {"prompt": _said("q"), "text": _said("q")})
    assert load_prompts(path, {}) == [{"id": "p_1", "prompt": "q"}]
    with pytest.raises(HoldfastError, match="row 1 holds no text"):
        load_texts(path, {})


def test_null_tags_and_contexts_of_behaviors_are_empty(tmp_path: Path) -> None:
    row = dict.fromkeys(["FunctionalCategory", "SemanticCategory", "Tags", "ContextString"])
    path = _lines(tmp_path / "b.jsonl", {"Behavior": "a", "BehaviorID": 7, **row})
    (behavior,) = load_behaviors(path, {})
    assert behavior == {"id": "7", "behavior": "a", "context": "", "tags": [], "category": ""}
