"""Tables, behaviors, pairs, texts and templates, on small files and on the real ones."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.data.behaviors import behavior_prompt, load_behaviors
from holdfast.data.formats import read_rows
from holdfast.data.pairs import load_pairs
from holdfast.data.prepare import prepare
from holdfast.data.tables import first, sample
from holdfast.data.templates import load_template
from holdfast.data.texts import load_documents, load_prompts, load_texts
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, read_jsonl
from holdfast.settings.data import DataSource

HEADER = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"


def _csv(path: Path, *lines: str) -> Path:
    path.write_bytes("\r\n".join([*lines, ""]).encode())
    return path


def _json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    rows = [{"a": 'two\nlines, "quoted"', "b": "é"}, {"a": " x ", "b": "y"}]
    path = tmp_path / f"table.{suffix}"
    if suffix == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["a", "b"], lineterminator="\r\n")
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == "parquet":
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame(rows).to_parquet(path)
    elif suffix == "json":
        _json(path, rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert read_rows(path) == rows


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.csv", "", "no rows"),
        ("a.csv", "x,y\n", "no rows"),
        ("a.csv", "x,y\n1,2,3\n", "row 1 has more or fewer cells"),
        ("a.csv", "x,y\n1\n", "row 1 has more or fewer cells"),
        ("a.csv", 'x,y\n"1,2\n', "not a valid CSV"),
        ("a.json", "{}", "no rows"),
        ("a.json", "[1]", "every row"),
        ("a.json", "[", "not valid JSON"),
        ("a.parquet", "nonsense", "not a valid Parquet"),
        ("a.xlsx", "", "must end in"),
    ],
)
def test_damaged_tables_are_named(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HoldfastError, match=complaint) as caught:
        read_rows(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_other_encodings_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(HoldfastError, match=r"is not text in UTF-8 .* at byte 3"):
        read_rows(path)


def test_quoted_newlines_and_crlf_survive(tmp_path: Path) -> None:
    path = _csv(tmp_path / "b.csv", HEADER, '"Explain,\r\nplease",contextual,x,context,"a\nb",one')
    (row,) = load_behaviors(path, {})
    assert row == {
        "id": "one",
        "behavior": "Explain,\r\nplease",
        "context": "a\nb",
        "tags": ["context"],
        "category": "x",
    }
    assert behavior_prompt(row) == "a\nb\n\n---\n\nExplain,\r\nplease"
    assert behavior_prompt(row | {"context": ""}) == "Explain,\r\nplease"


def test_any_excluded_tag_drops_a_behavior(tmp_path: Path) -> None:
    path = _csv(
        tmp_path / "b.csv",
        HEADER,
        'a,standard,x,"lyrics, hash_check",,one',
        "b,standard,x,,,two",
        "c,standard,x,lyrics,,three",
    )
    assert [row["id"] for row in load_behaviors(path, {})] == ["two", "three"]
    assert [row["id"] for row in load_behaviors(path, {}, [])] == ["one", "two", "three"]
    assert [row["id"] for row in load_behaviors(path, {}, limit=1)] == ["two"]
    assert [row["id"] for row in load_behaviors(path, {}, ["lyrics", "hash_check"])] == ["two"]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ((HEADER.replace("Tags,", ""), "a,standard,x,,one"), "no column Tags"),
        ((HEADER, "a,s,x,,,one", "b,s,x,,,one"), "1 identifiers occur more than once, 'one'"),
        ((HEADER, "a,s,x,hash_check,,one"), "leaves no behavior"),
        ((HEADER, " ,s,x,,,one"), "row 1 has an empty behavior"),
    ],
)
def test_unusable_behaviors_are_refused(
    tmp_path: Path, lines: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(HoldfastError, match=complaint):
        load_behaviors(_csv(tmp_path / "b.csv", *lines), {})


def test_column_names_can_be_given(tmp_path: Path) -> None:
    path = _json(tmp_path / "p.json", [{"instruction": "q", "output": "a"}])
    assert load_pairs(path, {"prompt": "instruction", "response": "output"}) == [
        {"prompt": "q", "response": "a"}
    ]
    with pytest.raises(HoldfastError, match="did you mean 'response'"):
        load_pairs(path, {"respons": "output"})
    with pytest.raises(HoldfastError, match=r"no column absent \(it has instruction, output\)"):
        load_pairs(path, {"prompt": "absent", "response": "output"})


def test_a_context_follows_the_prompt(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Sum up", "context": " The text.\n", "response": "Short."},
        {"instruction": "Say hello", "context": "", "response": "Hello."},
    ]
    path = _json(tmp_path / "dolly.json", rows)
    assert load_pairs(path, {"prompt": "instruction", "context": "context"}) == [
        {"prompt": "Sum up\n\nThe text.", "response": "Short."},
        {"prompt": "Say hello", "response": "Hello."},
    ]
    assert load_pairs(path, {"prompt": "instruction"})[0]["prompt"] == "Sum up"
    with pytest.raises(HoldfastError, match="no column contxt"):
        load_pairs(path, {"prompt": "instruction", "context": "contxt"})


def test_harmful_completions_are_never_loaded(tmp_path: Path) -> None:
    row = {"category": "c", "prompt": "q", "output": "HARMFUL", "llama3_output": "I cannot."}
    path = _json(tmp_path / "p.json", [row])
    assert load_pairs(path, {}) == [{"prompt": "q", "response": "I cannot."}]
    with pytest.raises(HoldfastError, match="never loaded"):
        load_pairs(path, {"response": "output"})


def test_empty_response_is_refused(tmp_path: Path) -> None:
    path = _json(tmp_path / "p.json", [{"prompt": "q", "response": " "}])
    with pytest.raises(HoldfastError, match="row 1 has no text for the response"):
        load_pairs(path, {})


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 1000))
def test_samples_are_nested_ordered_and_keep_to_the_seed(few: int, more: int, seed: int) -> None:
    few, more = sorted((few, more))
    rows = list(range(40))
    smaller, larger = (sample(rows, count, seed, Path("x")) for count in (few, more))
    assert len(smaller) == few
    assert set(smaller) <= set(larger)
    assert larger == sorted(larger)
    assert smaller == sample(rows, few, seed, Path("x"))


def test_samples_are_spread_evenly_over_rows() -> None:
    drawn = Counter(row for seed in range(400) for row in sample(range(10), 3, seed, Path("x")))
    assert set(drawn) == set(range(10))
    assert min(drawn.values()) > 80  # 120 expected, standard deviation 9
    assert max(drawn.values()) < 160


def test_more_rows_than_there_are_is_an_error() -> None:
    assert first([1, 2], None, Path("x")) == [1, 2]
    for draw in (lambda: first([1, 2], 3, Path("x")), lambda: sample([1, 2], 3, 0, Path("x"))):
        with pytest.raises(HoldfastError, match="x has 2 rows to use and 3 are asked for"):
            draw()


def test_texts_prompts_and_documents(tmp_path: Path) -> None:
    texts = _json(tmp_path / "t.json", ["", " a \n", "b"])
    assert load_texts(texts, {}) == ["", " a \n", "b"]
    assert load_texts(texts, {}, 2) == ["", " a \n"]
    prompts = _csv(tmp_path / "p.csv", "BehaviorID,Behavior", "one,Hello", "two,Bye")
    assert load_prompts(prompts, {}, 1) == [{"id": "one", "prompt": "Hello"}]
    unnamed = _json(tmp_path / "u.json", [{"prompt": "Hello"}, {"prompt": "Bye"}])
    assert [row["id"] for row in load_prompts(unnamed, {})] == ["u_1", "u_2"]
    doubled = _csv(tmp_path / "d.csv", "id,prompt", "one,Hello", "one,Bye")
    with pytest.raises(HoldfastError, match="more than once, 'one'"):
        load_prompts(doubled, {})
    documents = _json(tmp_path / "m.json", [{"q": "x", "choices": ["a", "b"], "gold": 1}])
    assert load_documents(documents, {"answer": "gold"}) == [
        {"q": "x", "choices": ["a", "b"], "gold": 1, "answer": 1}
    ]


TEMPLATE = {
    "prompt": "[INST] {behavior} | {generation} [/INST]",
    "prompt_contextual": "[INST] {context} | {behavior} | {generation} [/INST]",
}


def test_template_is_read_from_json_and_from_python_without_running_it(tmp_path: Path) -> None:
    assert load_template(_json(tmp_path / "t.json", TEMPLATE | {"description": "x"})) == TEMPLATE
    script = tmp_path / "eval_utils.py"
    touched = tmp_path / "touched"
    script.write_text(
        "import vllm_is_not_here\n"
        f"open({str(touched)!r}, 'w').close()\n"
        f"LLAMA2_CLS_PROMPT = {TEMPLATE!r}\n"
    )
    assert load_template(script) == TEMPLATE
    assert not touched.exists()


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("t.json", "{}", "no template 'prompt'"),
        ("t.json", json.dumps(TEMPLATE | {"prompt": "{behavior}"}), "must hold each of"),
        ("t.json", json.dumps(TEMPLATE | {"prompt": "{x}{behavior}{generation}"}), "must hold"),
        ("t.py", "OTHER = {}", "does not define LLAMA2_CLS_PROMPT"),
        ("t.py", "LLAMA2_CLS_PROMPT = open('x')", "cannot be read"),
        ("t.py", "LLAMA2_CLS_PROMPT = {", "cannot be read"),
    ],
)
def test_unusable_templates_are_refused(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(HoldfastError, match=complaint):
        load_template(path)


def _prepare(kind: Any, path: Path, out: Path, **options: Any) -> None:
    folders = {"data_root": path.parent, "pocket_folder": path.parent, "cache_folder": path.parent}
    source = DataSource(path=path.name)
    prepare(kind, source, out, setting="data.behaviors.source", **folders, **options)


def test_prepare_is_deterministic_and_heads_errors_with_the_setting(tmp_path: Path) -> None:
    pairs = _json(tmp_path / "p.json", [{"prompt": f"q{i}", "response": "a"} for i in range(30)])
    outs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for out in outs:
        _prepare("pairs", pairs, out, limit=7, seed=3)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert len(read_jsonl(outs[0])) == 7
    with pytest.raises(HoldfastError, match=r"^data\.behaviors\.source: .*30 rows.*31"):
        _prepare("pairs", pairs, outs[0], limit=31)
    with pytest.raises(HoldfastError, match="did you mean 'pairs'"):
        _prepare("pair", pairs, outs[0])
    template = _json(tmp_path / "t.json", TEMPLATE)
    _prepare("template", template, tmp_path / "template.json")
    assert read_json(tmp_path / "template.json") == TEMPLATE


def test_real_harmbench_has_300_behaviors_without_hash_check(
    real_data: Path, tmp_path: Path
) -> None:
    path = real_data / "harmbench" / "harmbench_behaviors_text_all.csv"
    _prepare("behaviors", path, tmp_path / "b.jsonl", exclude_tags=["hash_check"])
    rows = read_jsonl(tmp_path / "b.jsonl")
    contextual = [row for row in rows if row["context"]]
    assert (len(rows), len(contextual)) == (300, 100)
    assert all(("context" in row["tags"]) == bool(row["context"]) for row in rows)
    with path.open(encoding="utf-8", newline="") as file:
        raw = {row["BehaviorID"]: row for row in csv.DictReader(file)}
    assert len(raw) == 400
    for row in rows:
        assert row["behavior"] == raw[row["id"]]["Behavior"]
        assert row["context"] == raw[row["id"]]["ContextString"]


def test_real_advbench_loads_in_both_formats(real_data: Path) -> None:
    original = load_behaviors(real_data / "advbench" / "harmful_behaviors.csv", {})
    harmbench = load_behaviors(real_data / "harmbench" / "advbench_behaviors.csv", {})
    assert len(original) == len(harmbench) == 520
    assert [row["behavior"] for row in original] == [row["behavior"] for row in harmbench]


def test_real_pairs_and_texts_load(real_data: Path) -> None:
    pairs = load_pairs(real_data / "refusal_sft" / "refusal_pairs_cb_schema_all.json", {}, 800)
    assert len(pairs) == 800
    assert len(load_texts(real_data / "wikitext-2" / "wikitext2_raw_test_rows.json", {})) == 4358
    template = load_template(real_data / "harmbench" / "classifier_templates.json")
    assert template["prompt"].endswith("Answer: [/INST]")
