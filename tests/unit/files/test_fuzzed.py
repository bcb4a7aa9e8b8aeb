"""Files of any content: rows, or one sentence; never another exception."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzzing import fuzzed, told_or
from holdfast.data.behaviors import behavior_prompt, load_behaviors
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, read_jsonl
from holdfast.files.journal import Journal

HEADER = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
ROWS = 'bake,standard,cake,"context, other",Once,one\n"stir, ""fast""",standard,cake,,,two\n'
HOSTILE = [
    '"', '""', ",", "\n", "\r", "\r\n", "\0", "\ufeff", "\u2028", "\x1b[31m", "\u202e", "=1+1",
    "BehaviorID", "Behavior,Behavior\n", ",,,,,,,,", "x" * 200_000, '"' + "y" * 140_000 + '"', "é",
    "{x}", "\x85", "goal,target\n", "a\n", "hash_check", "one\n",
]  # fmt: skip


@pytest.fixture(autouse=True)
def long_cells() -> Iterator[None]:
    before = csv.field_size_limit(1 << 20)
    yield
    csv.field_size_limit(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@st.composite
def mutated(draw: st.DrawFn, whole: str) -> bytes:
    """A good file with up to four cuts and insertions, in text and in bytes."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(whole)))
        end = min(len(whole), start + draw(st.integers(0, 12)))
        whole = whole[:start] + draw(st.sampled_from(HOSTILE) | st.text(max_size=5)) + whole[end:]
    found = whole.encode("utf-8", "replace")
    if draw(st.booleans()):
        place = draw(st.integers(0, len(found)))
        found = found[:place] + draw(st.binary(max_size=3)) + found[place:]
    return found


def is_right(content: bytes, rows: list[dict[str, Any]]) -> bool:
    """Compare with Python's own reader of lists, which knows no headers."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if utf16 else "utf-8-sig")
    table = list(csv.reader(io.StringIO(text, newline="")))
    header, *lines = [line for line in table if line]
    name = "goal" if "goal" in header else "Behavior"
    places = {row["id"]: row for row in rows}
    assert len(places) == len(rows)
    for number, line in enumerate(lines, start=1):
        cells = dict(zip(header, line, strict=True))
        row = places.get(cells.get("BehaviorID", f"behaviors_{number}"))
        if row is not None and row["behavior"] != cells[name]:
            return False
    return all(isinstance(behavior_prompt(row), str) for row in rows)


@fuzzed
@given(mutated(HEADER + ROWS) | mutated("goal,target\nbake,Sure\nstir,Sure\n") | st.binary())
@example((HEADER + ROWS).encode())
@example(b"\xef\xbb\xbf" + (HEADER + ROWS).replace("\n", "\r\n").encode())
@example((HEADER + ROWS).encode("utf-16"))
def test_any_csv_is_behaviors_or_a_sentence(folder: Path, content: bytes) -> None:
    path = folder / "behaviors.csv"
    path.write_bytes(content)
    rows = told_or(lambda: load_behaviors(path, {}))
    assert rows is None or is_right(content, rows)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["\ud800", "Behavior", "BehaviorID", "Tags"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Behavior", "BehaviorID", "Tags", "ContextString", "goal", "x"]), inner
        )
    ),
    max_leaves=8,
)
ODD = ["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 5000, '{"a":' * 5000, '"\\ud800"', "\0"]


json_bytes = st.one_of(
    json_values.map(json.dumps).map(str.encode),
    st.lists(json_values.map(json.dumps), max_size=4).map(lambda lines: "\n".join(lines).encode()),
    st.sampled_from(ODD).map(str.encode),
    st.binary(max_size=40),
)


@fuzzed
@given(json_bytes)
def test_any_json_is_a_value_or_a_sentence(folder: Path, content: bytes) -> None:
    path = folder / "behaviors.json"
    path.write_bytes(content)
    for read in (read_json, read_jsonl):
        found = told_or(lambda read=read: read(path))
        json.dumps(found, allow_nan=False)
    rows = told_or(lambda: load_behaviors(path, {})) or []
    for row in rows:
        assert behavior_prompt(row).encode()
        assert all(isinstance(tag, str) for tag in row["tags"])


def test_a_file_that_is_missing_is_told(folder: Path) -> None:
    for read in (read_json, read_jsonl):
        with pytest.raises(HoldfastError, match="No such file"):
            read(folder / "nowhere")
        with pytest.raises(HoldfastError, match="Is a directory"):
            read(folder)


WORK = {"judge": "a", "items": 2}
entries = st.tuples(st.text(max_size=5), json_values).map(list)
lines = st.one_of(
    entries.map(json.dumps),
    json_values.map(json.dumps),
    st.sampled_from([*ODD[:6], "", '["a"]', '"ab"', '[["a"], 1]', "[null, 1]", "[1, 2, 3]"]),
    st.text(max_size=8),
)


@fuzzed
@given(
    st.booleans(),
    st.lists(lines, max_size=5).map(lambda found: "\n".join(found)),
    st.booleans(),
    st.binary(max_size=4),
)
def test_any_journal_is_taken_up_or_begun_afresh(
    folder: Path, same: bool, rest: str, ended: bool, tail: bytes
) -> None:
    path = folder / "journal.jsonl"
    header = json.dumps(WORK if same else {"other": 1}, sort_keys=True)
    text = f"{header}\n{rest}" + ("\n" if ended else "")
    path.write_bytes(text.encode("utf-8", "replace") + tail)
    journal = Journal(path, WORK)
    found = journal.entries()
    assert all(isinstance(key, str) for key in found)
    assert same or not found
    journal.append("new", {"done": True})
    again = Journal(path, WORK).entries()
    assert again == found | {"new": {"done": True}}


def test_a_damaged_line_of_a_journal_is_as_if_it_had_not_been_written(folder: Path) -> None:
    path = folder / "damaged.jsonl"
    journal = Journal(path, WORK)
    journal.append("a", 1)
    before = path.read_text()
    journal.append("b", {"c": [2.5]})
    after = path.read_text().removeprefix(before)
    changed = after.replace("2.5", "2.6")
    for line in ("5", '"ab"', '[["a"], 1]', "[null, 1]", '["x", NaN]', '["x", 1', changed[:-1]):
        path.write_text(f"{before}{line}\n{after}")
        assert Journal(path, WORK).entries() == {"a": 1, "b": {"c": [2.5]}}
        path.write_text(f"{before}{line}\n")
        assert Journal(path, WORK).entries() == {"a": 1}
