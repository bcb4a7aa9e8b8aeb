"""config/paper.yaml: the paper's settings; config/paper-tiny.yaml: the same jobs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from holdfast.config import HoldfastError, Settings, load_settings
from holdfast.data.prepare import prepare
from holdfast.settings.data import DataSource
from holdfast.settings.selections import selected
from places import ROOT

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
SECONDS = 15
HARMFUL = "a harmful completion"

# Table 5 of the paper: the value, or the set that was searched.
TABLE_5: dict[str, dict[str, set[Any]]] = {
    "fo": {
        "steps": {100},
        "learning_rate": {5e-3, 8e-3, 1e-2, 1.2e-2},
        "momentum": {0, 0.5},
        "scheduler": {"constant_with_warmup", "cosine"},
        "warmup_ratio": {0.05, 0.08},
        "weight_decay": {0},
        "batch_size": {1},
        "gradient_accumulation": {8},
    },
    "zo": {
        "steps": {10},
        "learning_rate": {5e-3, 8e-3, 1e-2, 1.2e-2},
        "beta": {1e-4, 5e-4, 8e-4, 1e-3, 3e-3},
        "batch_size": {8},
        "momentum": {0},
        "scheduler": {"cosine"},
        "warmup_ratio": {0},
        "weight_decay": {1e-4},
    },
}
FOCUSED = TABLE_5["zo"] | {
    "learning_rate": {1e-3, 4e-3, 1e-2, 1.5e-2},
    "beta": {8e-4, 1e-3, 1.2e-3},
}
LM_EVAL = [
    "mmlu",
    "lambada_openai",
    "hellaswag",
    "winogrande",
    "piqa",
    "truthfulqa_mc2",
    "openbookqa",
    "boolq",
    "rte",
    "arc_easy",
    "arc_challenge",
]

# What the small run may change: where things come from, and how much of them there is.
SOURCES = (
    r"run|data_root|gpus|.*\.(hub|revision|path|url|sha256|file|pocket|meaningless)",
    r"data\.benign\.source\.columns\.\w+|utility\.lm_eval\.tasks\.\w+\..*",
)
SIZES = (
    r"data\.[\w.]+\.limit|generation\.\w+|utility\.(perplexity|lm_eval)\.\w+",
    r"arms\.\w+\.(steps|gradient_accumulation|batch_size)",
    r"selections\.\w+\.(samples|draws|quant_group_size)",
    r"perturbations\.\w+\.(calibration_samples|max_length|draws|levels\.\w+\.\w*group_size)",
    r"judges\.\w+\.batch_size",
)


def merged(*names: str) -> Settings:
    """The settings of config.yaml and overlays, merged as Snakemake merges them."""
    config: dict[str, Any] = {}
    for name in ("config", *names):
        update_config(config, yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()))
    return load_settings(config)


@pytest.fixture(scope="module")
def paper() -> Settings:
    return merged("paper")


def plan(folder: Path, *overlays: str, data: Path | None = None) -> Counter[tuple[str, str]]:
    """Plan in a folder without results; return how many jobs of each rule and wildcards."""
    environment = os.environ | ({"HOLDFAST_DATA": str(data)} if data else {})
    names = [str(ROOT / "config" / f"{name}.yaml") for name in overlays]
    command = [SNAKEMAKE, "-n", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--workflow-profile", str(ROOT / "profiles" / "default"), "--configfile", *names]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert run.returncode == 0, run.stdout + run.stderr
    jobs: Counter[tuple[str, str]] = Counter()
    for block in re.split(r"^(?:local)?rule (?=\w+:$)", run.stdout, flags=re.MULTILINE)[1:]:
        wildcards = re.search(r"^ +wildcards: (.*)$", block, flags=re.MULTILINE)
        jobs[block[: block.index(":")], wildcards[1] if wildcards else ""] += 1
    return jobs


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, Any] = {}
    for key, entry in value.items():
        found |= leaves(entry, f"{path}.{key}" if path else str(key))
    return found


@pytest.mark.parametrize(
    ("arm", "table"),
    [
        ("fo", TABLE_5["fo"]),
        ("fo_long", TABLE_5["fo"] | {"steps": {110}}),
        ("zo", TABLE_5["zo"]),
        *((f"zo_{layers}", FOCUSED) for layers in ("robust", "snip", "wanda", "random")),
    ],
)
def test_arms_have_the_values_of_table_5(
    paper: Settings, arm: str, table: dict[str, set[Any]]
) -> None:
    for setting, values in table.items():
        assert getattr(paper.arms[arm], setting) in values, setting
    swept = {"fo": TABLE_5["fo"], "zo": TABLE_5["zo"], "zo_robust": FOCUSED}.get(arm, {})
    sets = {setting: values for setting, values in swept.items() if len(values) > 1}
    assert {name: set(values) for name, values in paper.arms[arm].sweep.items()} == sets


def test_general_settings_are_those_of_the_paper(paper: Settings) -> None:
    assert paper.data.max_length == 1536
    assert paper.data.alignment.limit == paper.data.safety.limit == 800
    assert paper.data.behaviors.exclude_tags == ["hash_check"]
    assert {model.dtype for model in paper.models.values()} == {"bfloat16"}
    assert (paper.utility.perplexity.window, paper.generation.max_new_tokens) == (2048, 512)
    assert set(paper.judges) == {"harmbench", "llamaguard", "refusal_prefix"}


def test_the_paper_selects_4_of_32_and_3_of_28_layers(paper: Settings) -> None:
    depths = [model.layer_count for model in paper.models.values()]
    for selection in paper.selections.values():
        assert [selected(selection.top_m, depth or 0) for depth in depths] == [4, 3]


def test_everything_that_is_downloaded_is_pinned(paper: Settings) -> None:
    judges = [judge.model for judge in paper.judges.values() if hasattr(judge, "model")]
    for model in [*paper.models.values(), *judges]:
        assert model.hub
        assert model.revision
    sources = [rows.source for rows in vars(paper.data).values() if hasattr(rows, "source")]
    assert len(sources) == 6
    assert all(source.sha256 or source.revision for source in sources)


def test_lm_eval_has_the_11_tasks(paper: Settings) -> None:
    from lm_eval.tasks import TaskManager

    assert sorted(paper.utility.lm_eval.tasks) == sorted(LM_EVAL)
    assert len(LM_EVAL) == 11
    assert set(LM_EVAL) <= set(TaskManager().all_tasks)


@pytest.fixture
def circuit_breakers(tmp_path: Path) -> Path:
    """A file in the schema of circuit_breakers_train.json."""
    rows = [
        {
            "category": "test",
            "prompt": f"request {number}",
            "output": f"{HARMFUL} {number}",
            "llama3_output": f"I cannot help with request {number}.",
        }
        for number in range(900)
    ]
    path = tmp_path / "circuit_breakers_train.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("name", ["alignment", "safety", "calibration"])
def test_harmful_completions_reach_no_normalized_file(
    paper: Settings, circuit_breakers: Path, tmp_path: Path, name: str
) -> None:
    rows = getattr(paper.data, name)
    digest = hashlib.sha256(circuit_breakers.read_bytes()).hexdigest()
    local = {"url": circuit_breakers.as_uri(), "sha256": digest}
    normalized = tmp_path / f"{name}.jsonl"
    prepare(
        "pairs",
        DataSource.model_validate(rows.source.model_dump() | local),
        normalized,
        data_root=tmp_path,
        pocket_folder=tmp_path,
        cache_folder=tmp_path / "cache",
        limit=rows.limit,
    )
    text = normalized.read_text()
    assert len(text.splitlines()) == rows.limit
    assert HARMFUL not in text
    assert set(json.loads(text.splitlines()[0])) == {"prompt", "response"}
    assert text.count("I cannot help") == rows.limit


def test_a_digest_that_is_not_filled_in_stops_with_the_one_that_was_found(
    paper: Settings, circuit_breakers: Path, tmp_path: Path
) -> None:
    source = paper.data.alignment.source
    assert set(source.sha256 or "") == {"0"}, "the digest is filled in: remove this test"
    digest = hashlib.sha256(circuit_breakers.read_bytes()).hexdigest()
    with pytest.raises(HoldfastError, match=f"has digest {digest}, the setting says 0000"):
        prepare(
            "pairs",
            source.model_copy(update={"url": circuit_breakers.as_uri()}),
            tmp_path / "out.jsonl",
            data_root=tmp_path,
            pocket_folder=tmp_path,
            cache_folder=tmp_path / "cache",
        )
    assert not (tmp_path / "out.jsonl").exists()


def test_planning_takes_seconds(folder: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = plan(folder, "paper")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    tables = {wildcards for rule, wildcards in jobs if rule == "table"}
    beside = ("kappa", "flips", "hidden_danger", "claims")
    assert tables == {f"table=table{number}" for number in (1, 2, 3, 4, 6, 7, 8, 9)} | {
        f"table={name}" for name in beside
    }
    assert sum(count for (rule, _), count in jobs.items() if rule == "figure") == len(
        merged("paper").figures
    )


def test_the_small_run_has_the_same_jobs(folder: Path, real_data: Path) -> None:
    ours = plan(folder, "paper", "paper-tiny", data=real_data)
    theirs = plan(folder, "paper")
    extra = ours - theirs
    assert not theirs - ours
    # Its harmless prompts are the embedded world's, its lm-eval task has local documents.
    assert extra == Counter(
        {("pocket_world", ""): 1, ("data", "dataset=tasks-harmbench_category, suffix=jsonl"): 1}
    )


def test_the_small_run_changes_sources_and_sizes_alone(paper: Settings) -> None:
    tiny = merged("paper", "paper-tiny")
    ours, theirs = (leaves(s.model_dump(mode="json", by_alias=True)) for s in (tiny, paper))
    differing = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    allowed = re.compile("|".join([*SOURCES, *SIZES]))
    assert sorted(path for path in differing if not allowed.fullmatch(path)) == []
    assert [m.layer_count for m in tiny.models.values()] == [32, 28]
    assert [m.layer_count for m in tiny.judge_models.values()] == [40, 32]
