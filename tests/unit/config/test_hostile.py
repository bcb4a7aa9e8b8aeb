"""What a config holds cannot reach a shell, a rule's pattern or a folder outside the run."""

from __future__ import annotations

import ast
import copy
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import tiny_llama
from holdfast.config import HoldfastError, load_settings
from holdfast.data.source import cached
from holdfast.evaluation.lm_eval import LmEval
from holdfast.files.atomic import write_jsonl
from holdfast.plan import Plan
from holdfast.settings.data import DataSource
from holdfast.settings.evaluation import LmEvalSettings
from places import ROOT

CONFIG = ROOT / "config" / "config.yaml"
NOT_NAMES = [
    "", " ", "a b", "a; touch x", "$(touch x)", "`touch x`", "a\nb", "a\n", "../a", "..", ".",
    "a/../b", "/etc", "-rf", "--config", "a'b", 'a"b', "{a}", "{", "a{b", "a|b", "a&b", "a>b", "*",
    "<results>", "~", "a\\b", "a\0b", "é", "\u202ea", "a.", ".a", "a..b", "a" * 129, "C:a", "%s",
]  # fmt: skip
NOT_PATHS = ["", "a\nb", "a\0b", "{x}", "a{", "}", "<results>/x", "\x1b[2J", "a\tb", "x" * 5000]
FREE = ["; touch x", "$(touch x)", "`touch x`", "../x", "-rf", "a 'b' \"c\"", "{x}", "a\nb", "<b>"]


SHIPPED = yaml.safe_load(CONFIG.read_text())


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(SHIPPED)


def put(config: Any, path: str, value: Any) -> None:
    *folders, last = path.split("/")
    for folder in folders:
        config = config[int(folder) if isinstance(config, list) else folder]
    config[last] = value


NAMED: dict[str, Any] = {
    "models": {"scratch": {}},
    "arms": {"stage": "original"},
    "selections": {"kind": "snip", "top_m": 1},
    "perturbations": {"kind": "none"},
    "judges": {"kind": "refusal_prefix"},
    "tables": {"kind": "cost", "title": "T", "arms": ["fo"]},
    "figures": {"kind": "loss_curve", "title": "T", "arms": ["fo"]},
    "perturbations/w4a16/levels": {"bits": 4, "group_size": 32},
    "perturbations/w4a4/levels": {"bits": 4, "group_size": 32},
    "utility/lm_eval/tasks": {
        "data": {"pocket": "multiple_choice.jsonl"},
        "config": {"doc_to_text": "question", "doc_to_choice": "choices"},
    },
}


@pytest.mark.parametrize("name", NOT_NAMES)
@pytest.mark.parametrize("catalogue", NAMED)
def test_what_is_no_name_is_refused_in_one_sentence(
    config: dict[str, Any], catalogue: str, name: str
) -> None:
    put(config, f"{catalogue}/new", NAMED[catalogue])
    load_settings(config)
    place: Any = config
    for folder in catalogue.split("/"):
        place = place[folder]
    place[name] = place.pop("new")
    with pytest.raises(HoldfastError) as told:
        load_settings(config)
    assert "\n" not in str(told.value)
    assert "Traceback" not in str(told.value)


@pytest.mark.parametrize("name", NOT_NAMES)
def test_no_run_has_such_a_name(config: dict[str, Any], name: str) -> None:
    with pytest.raises(HoldfastError, match="run: "):
        load_settings(config | {"run": name})


@pytest.mark.parametrize("path", NOT_PATHS)
@pytest.mark.parametrize(
    "place",
    [
        "data_root",
        "data/behaviors/source",
        "models/new/path",
        "judges/harmbench/template",
        "perturbations/new",
    ],
)
def test_what_snakemake_would_read_in_a_path_is_refused(
    config: dict[str, Any], place: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    config["models"]["new"] = {"path": "there", "layers": 1}
    levels = {"Q": [{"model": "pocket", "path": path}]}
    value: Any = {"kind": "checkpoint", "levels": levels} if place == "perturbations/new" else path
    put(config, place, {"path": path} if place.startswith(("data/", "judges/")) else value)
    with pytest.raises(HoldfastError) as told:
        load_settings(config)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("hub", ["", "../x", "a/b/c", "-a/b", "a b", "a;b", "https://x", "{a}/b"])
def test_what_is_no_repository_is_refused(config: dict[str, Any], hub: str) -> None:
    commit = "0" * 40
    config["models"]["new"] = {"hub": hub, "revision": commit, "layers": 1}
    with pytest.raises(HoldfastError, match=r"models\.new"):
        load_settings(config)
    del config["models"]["new"]
    config["data"]["benign"]["source"] = {"hub": hub, "revision": commit, "file": "a.csv"}
    with pytest.raises(HoldfastError, match=r"data\.benign\.source"):
        load_settings(config)


@pytest.mark.parametrize("text", FREE)
def test_free_text_changes_no_path_and_no_rule(config: dict[str, Any], text: str) -> None:
    plain = Plan(load_settings(config))
    for place in (
        "tables/table2/title", "tables/table2/caption", "arms/fo/label", "judges/harmbench/label",
        "perturbations/w4a4/label", "figures/figure3/ylabel", "figures/figure3/labels/fo",
        "tables/table6/sections/0/method", "figures/figure2/series/0/label",
        "judges/llamaguard/answer_prefix",
    ):  # fmt: skip
        put(config, place, text)
    plan = Plan(load_settings(config))
    assert plan.names("tables") == plain.names("tables")
    assert plan.results.of_table(SimpleNamespace(table="table2")) == plain.results.of_table(
        SimpleNamespace(table="table2")
    )
    assert [job.name for job in plan.evaluation.jobs] == [job.name for job in plain.evaluation.jobs]
    assert plan.data.inputs(SimpleNamespace(dataset="behaviors")) == plain.data.inputs(
        SimpleNamespace(dataset="behaviors")
    )


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%00b", "%2F..%2Fx", "x" * 300, "a%0Ab", ".x"])
def test_a_download_stays_in_its_folder(name: str) -> None:
    source = DataSource(url=f"https://example.org/{name}", sha256="0" * 64)
    kept = cached(source, Path("cache"))
    assert kept.parent == Path("cache") / ("0" * 64)
    assert re.fullmatch(r"[\w-][\w. -]{0,99}", kept.name)


def local_task(**config: Any) -> dict[str, Any]:
    parts = {"doc_to_text": "question", "doc_to_choice": ["a", "b"], "doc_to_target": 0}
    return {"tasks": {"own": {"data": {"pocket": "x"}, "config": parts | config}}}


@pytest.mark.parametrize(
    "config",
    [
        {"include": "evil.yaml"},
        {"dataset_path": "evil/x"},
        {"dataset_kwargs": {"trust_remote_code": True}},
        {"metric_list": [{"metric": "evil/x", "hf_evaluate": True}]},
        {"use_prompt": "promptsource:all"},
    ],
)
def test_a_task_takes_nothing_from_elsewhere(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="takes code or data from elsewhere"):
        LmEvalSettings.model_validate(local_task(**config))


def test_a_template_of_a_task_computes_text_only(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    write_jsonl(tmp_path / "rows.jsonl", [{"question": "{{ 1 + 1 }}"}] * 3)
    documents = {"own": tmp_path / "rows.jsonl"}
    attack = f"{{{{ cycler.__init__.__globals__.os.system('touch {touched}') }}}}"
    with pytest.raises(HoldfastError, match=r"tasks\.own\.config: .*SecurityError"):
        LmEval(LmEvalSettings.model_validate(local_task(doc_to_text=attack)), documents).evaluate(
            tiny_llama.model(), tiny_llama.tokenizer()
        )
    assert not touched.exists()
    task = LmEval(LmEvalSettings.model_validate(local_task()), documents)._loaded["own"]
    assert task.doc_to_text({"question": "{{ 1 + 1 }}"}) == "{{ 1 + 1 }}"  # data is no template


SOURCES = sorted(
    path
    for folder in ("src", "workflow", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
FORBIDDEN = {
    "os.system", "os.popen", "pickle.load", "pickle.loads", "eval", "exec", "yaml.load",
    "subprocess.getoutput", "marshal.loads", "np.load", "joblib.load", "compile", "__import__",
}  # fmt: skip


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call in our code: file, dotted name, node."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                found.append((where, ast.unparse(node.func), node))
    return found


def test_no_call_runs_text_or_pickles() -> None:
    found = calls()
    assert len(found) > 1000
    assert not [where for where, name, _ in found if name in FORBIDDEN]
    for where, name, node in found:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert given.get("shell", "False") == "False", where
        if name == "torch.load":
            assert given["weights_only"] == "True", where
        if name.startswith("Auto") and name.endswith((".from_pretrained", ".from_config")):
            assert "trust_remote_code" in given, where


def test_subprocesses_get_lists() -> None:
    runs = [
        (where, node)
        for where, name, node in calls()
        if name in ("subprocess.run", "subprocess.Popen", "subprocess.check_output")
    ]
    assert len(runs) >= 2
    for where, node in runs:
        first = node.args[0]
        assert not isinstance(first, ast.Constant | ast.JoinedStr | ast.BinOp), where


def test_no_rule_has_a_shell_command() -> None:
    rules = [
        ROOT / "Snakefile",
        ROOT / "workflow" / "Snakefile",
        *ROOT.glob("workflow/rules/*.smk"),
    ]
    assert len(rules) > 5
    for path in rules:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(shell|run|wrapper|cwl|notebook|template_engine):", text, re.M)
