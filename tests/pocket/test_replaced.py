"""No number survives the input that it came from: each one is replaced under a finished run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiny_llama
from dry_runs import snakemake
from holdfast.files.atomic import write_json, write_jsonl
from packed_folders import awq_folder
from places import CONFIG, ROOT

RESULTS = Path("results") / "replaced"
OLD = 1_000_000_000  # a date before everything
WORDS = [f"w{number}" for number in range(35)]


def own_model(folder: Path, seed: int) -> None:
    tiny_llama.model(seed=seed).save_pretrained(folder)
    tiny_llama.tokenizer().save_pretrained(folder)


def copy_of_it(folder: Path, seed: int) -> None:
    awq_folder(folder, seed)


def judge(folder: Path, seed: int) -> None:
    tokenizer = tiny_llama.train_tokenizer(["yes no Yes No", "is it so? yes", "no"] * 30)
    loud = [tokenizer(word)["input_ids"][-1] for word in ("yes", "no")]
    tiny_llama.random_llama(len(tokenizer), loud, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def template(path: Path, seed: int) -> None:
    ask = f"[{seed}] {{behavior}} {{generation}}"
    write_json(path, {"prompt": ask, "prompt_contextual": f"{{context}} {ask}"})


def behaviors(path: Path, seed: int) -> None:
    rows = [f"{WORDS[seed]} {word},standard,,,b-{word},x" for word in WORDS[:6]]
    head = "Behavior,FunctionalCategory,Tags,ContextString,BehaviorID,SemanticCategory"
    path.write_text("\n".join([head, *rows]) + "\n")


def benign(path: Path, seed: int) -> None:
    path.write_text("prompt\n" + "".join(f"{WORDS[seed]} {word}\n" for word in WORDS[:4]))


def text(path: Path, seed: int) -> None:
    write_json(path, [" ".join(WORDS[seed:] + WORDS) * 4])


def tasks(path: Path, seed: int) -> None:
    rows = [{"q": f"{WORDS[seed]} {w}", "choices": ["w3", "w4"], "a": 0} for w in WORDS[:8]]
    write_jsonl(path, rows)


# What makes each input by a seed, and the rule that reads it.
INPUTS: dict[str, tuple[Callable[[Path, int], None], str]] = {
    "model": (own_model, "base_model"),
    "copy": (copy_of_it, "ready_made"),
    "judge": (judge, "judge_model"),
    "template.json": (template, "data"),
    "behaviors.csv": (behaviors, "data"),
    "benign.csv": (benign, "data"),
    "text.json": (text, "data"),
    "tasks.jsonl": (tasks, "data"),
}


def config(outside: Path, levels: list[int]) -> dict[str, Any]:
    """Return an overlay that reads nothing of the embedded world and shows one table."""
    default = yaml.safe_load(CONFIG.read_text())
    nothing = {part: dict.fromkeys(default[part]) for part in ("judges", "tables", "figures")}
    task = {"doc_to_text": "q", "doc_to_choice": "choices", "doc_to_target": "a"}
    files = {"behaviors": "behaviors.csv", "benign": "benign.csv", "perplexity": "text.json"}
    # An overlay is laid over the default's source, too.
    sources = {name: {"path": str(outside / file), "pocket": None} for name, file in files.items()}
    own_task = {"data": {"path": str(outside / "tasks.jsonl")}, "config": task}
    copies = {"AWQ": [{"model": "own", "path": str(outside / "copy")}]}
    return {
        "run": "replaced",
        "data": {name: {"source": source} for name, source in sources.items()},
        "generation": {"max_new_tokens": 4},
        "utility": {
            "perplexity": {"window": 16},
            "lm_eval": {"tasks": {"world_facts": None, "own": own_task}},
        },
        "models": {"pocket": None, "own": {"path": str(outside / "model"), "layers": 3}},
        "perturbations": {
            "weight_noise": {"unit": 0.01, "levels": levels, "draws": 1},
            "ready": {"kind": "checkpoint", "levels": copies},
        },
        "judges": nothing["judges"]
        | {
            "harmbench": {
                "model": {"path": str(outside / "judge"), "layers": 2, "pocket_judge": None},
                "template": {"path": str(outside / "template.json"), "pocket": None},
            }
        },
        "figures": nothing["figures"],
        "tables": nothing["tables"]
        | {
            "shown": {
                "kind": "robustness",
                "title": "What is measured",
                "metrics": ["perplexity", "lm_eval", "harmbench"],
                "sections": [
                    {"arm": "original", "perturbations": ["none", "weight_noise", "ready"]}
                ],
            }
        },
    }


def run(folder: Path, outside: Path, levels: list[int], *options: str) -> str:
    """Run Snakemake in a working folder; return what it printed."""
    folder.mkdir(exist_ok=True)
    (folder / "overlay.yaml").write_text(yaml.safe_dump(config(outside, levels), sort_keys=False))
    if not (folder / "config").exists():
        (folder / "config").symlink_to(ROOT / "config")
    made = snakemake(
        *("--cores", "2", "--snakefile", str(ROOT / "Snakefile"), *options),
        *("--workflow-profile", str(ROOT / "profiles" / "default")),
        *("--configfile", "overlay.yaml"),
        cwd=folder,
    )
    assert made.returncode == 0, (made.stdout + made.stderr)[-6000:]
    return made.stdout + made.stderr


def planned(folder: Path, outside: Path, levels: list[int]) -> Counter[str]:
    """Return the number of jobs by rule, numbers of rules taken off."""
    table = run(folder, outside, levels, "-n").split("\ntotal")[0]  # it comes twice
    jobs: Counter[str] = Counter()
    for rule, count in re.findall(r"^([a-z_]+?)(?:_\d+)? +(\d+)$", table, re.MULTILINE):
        jobs[rule] += int(count)
    return jobs


def replace(path: Path, made: Callable[[Path, int], None], seed: int) -> None:
    """Put another input in the place of one, with a date before everything."""
    if path.is_dir():
        shutil.rmtree(path)
    made(path, seed)
    for file in [path, *path.rglob("*")]:
        os.utime(file, (OLD, OLD))


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    for name, (made, _) in INPUTS.items():
        made(folder / name, 0)
    return folder


@pytest.fixture(scope="module")
def finished(outside: Path) -> Path:
    run(outside.parent / "finished", outside, [20])
    return outside.parent / "finished"


def test_a_copy_without_dates_is_adopted(finished: Path, outside: Path) -> None:
    copy = outside.parent / "copy"
    shutil.copytree(finished, copy, symlinks=True)
    files = sorted((copy / RESULTS).rglob("*"), reverse=True)
    for number, path in enumerate(files):  # tables are the oldest, data the newest
        os.utime(path, (OLD + number, OLD + number))
    assert planned(copy, outside, [20])["table"] == 1
    assert f"`holdfast adopt {RESULTS}`" in run(copy, outside, [20], "-n")
    command = [sys.executable, "-m", "holdfast", "adopt", str(RESULTS)]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=copy)
    assert "artifacts are whole" in made.stdout
    assert "holdfast adopt" not in run(copy, outside, [20], "-n")
    assert not planned(copy, outside, [20])


def test_each_replaced_input_is_planned_for_and_a_touched_one_is_not(
    finished: Path, outside: Path
) -> None:
    for name, (made, rule) in INPUTS.items():
        replace(outside / name, made, 1)
        jobs = planned(finished, outside, [20, 30])
        assert jobs[rule] == 1, (name, jobs)
        assert (jobs["summary"], jobs["table"]) == (2, 1), (name, jobs)
        replace(outside / name, made, 0)
    assert not planned(finished, outside, [20])
    assert planned(finished, outside, [20, 30])["data"] == 0


def test_one_more_level_beside_replaced_inputs_is_that_of_a_run_from_nothing(
    finished: Path, outside: Path
) -> None:
    for name, (made, _) in INPUTS.items():
        replace(outside / name, made, 1)
    run(finished, outside, [20, 30])
    fresh = outside.parent / "fresh"
    run(fresh, outside, [20, 30])
    (table, wanted) = (home / RESULTS / "tables" / "shown.csv" for home in (finished, fresh))
    assert table.read_text() == wanted.read_text()
    found = sorted(path.relative_to(fresh) for path in (fresh / RESULTS).glob("own/**/*.json*"))
    assert any(path.name == "utility.json" for path in found)
    for path in found:
        if not path.name.endswith(".manifest.json"):
            assert (finished / path).read_bytes() == (fresh / path).read_bytes(), path
    assert json.loads((fresh / RESULTS / "models" / "own" / "model.json").read_text())["files"]
