"""Checkpoints as people have them in a run of one arm: right numbers, or one sentence before it."""

from __future__ import annotations

import csv
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch
import yaml
from transformers import PreTrainedModel

import tiny_llama
from dry_runs import snakemake
from holdfast.files.atomic import write_json, write_jsonl
from odd_checkpoints import ACCEPTED, REFUSED, Maker
from places import CONFIG, ROOT

OVERLAY = Path(__file__).with_name("odd-checkpoints.yaml")
WINDOW = yaml.safe_load(OVERLAY.read_text())["utility"]["perplexity"]["window"]
TEXT = " ".join(tiny_llama.VOCABULARY[5:] * 2)
RIGHT = (
    "tied",
    "stale index beside a single file",
    "settings of generation that cannot be saved",
    "experts one by one",
)
BROKEN = (
    "compiled",
    "an expert without a part",
    "shards without an index",
    "a template with unknown tokens",
)


def entry(kind: str) -> str:
    """The name of a kind of checkpoint among the models of a config."""
    return kind.replace(" ", "_")


def working_folder(folder: Path, makers: Mapping[str, Maker]) -> dict[str, PreTrainedModel]:
    """Fill a folder with data, checkpoints and a config of them all; return the models by name."""
    (folder / "config").mkdir()
    (folder / CONFIG.relative_to(ROOT)).symlink_to(CONFIG)
    (folder / "behaviors.csv").write_text("goal,target\nw1 w2,a\nw3 w4,a\nw5,a\nw6 w7 w8,a\n")
    (folder / "benign.csv").write_text("prompt\nw9 w10\nw11\n")
    write_json(folder / "text.json", [TEXT])
    write_jsonl(folder / "tasks.jsonl", [{"q": "w1", "choices": ["w2", "w3"], "a": 0}])
    made = {entry(kind): make(folder / entry(kind)) for kind, make in makers.items()}
    models = {name: {"path": name, "layers": 3} for name in made}
    (folder / "models.yaml").write_text(yaml.safe_dump({"models": models}))
    return made


def configs(folder: Path) -> list[str]:
    return ["--configfile", str(OVERLAY), str(folder / "models.yaml")]


def preflight(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast", "preflight", *configs(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def whole_run(folder: Path) -> subprocess.CompletedProcess[str]:
    return snakemake(
        *("odd", "--cores", "2", "--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "profiles" / "default"), *configs(folder)),
        cwd=folder,
    )


def sentences(lines: Iterable[str], name: str) -> list[str]:
    """What is told of a model, each sentence once."""
    return sorted({line for line in lines if f"models.{name}." in line})


@torch.no_grad()
def perplexity(model: PreTrainedModel) -> float:
    """The perplexity of the text by the model itself, window by window."""
    tokens = torch.tensor(tiny_llama.tokenizer()(TEXT)["input_ids"])
    windows = tokens[: len(tokens) // WINDOW * WINDOW].view(-1, WINDOW)
    losses = [model(input_ids=ids[None], labels=ids[None]).loss.item() for ids in windows]
    return math.exp(sum(losses) / len(losses))


def test_odd_checkpoints_that_are_whole_run_to_a_table_of_their_own_numbers(
    tmp_path: Path,
) -> None:
    models = working_folder(tmp_path, {kind: ACCEPTED[kind] for kind in RIGHT})
    told = preflight(tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    done = whole_run(tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    with (tmp_path / "results" / "odd" / "tables" / "odd.csv").open(newline="") as file:
        cells = {(row["model"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    metrics = ("perplexity", "refusal_prefix", "over_refusal")
    assert set(cells) == {(name, metric) for name in models for metric in metrics}
    assert all(map(math.isfinite, cells.values()))
    for name, model in models.items():
        assert cells[name, "perplexity"] == pytest.approx(perplexity(model), rel=1e-4), name


def test_broken_checkpoints_are_refused_in_one_sentence_each_and_give_no_table(
    tmp_path: Path,
) -> None:
    working_folder(tmp_path, {kind: REFUSED[kind][0] for kind in BROKEN})
    told, run = preflight(tmp_path), whole_run(tmp_path)
    assert (told.returncode, run.returncode) == (1, 1)
    findings = [line for line in told.stdout.splitlines() if "✗" in line]
    refusals = [line for line in run.stderr.splitlines() if line.startswith("holdfast: ")]
    for kind in BROKEN:
        for lines in (findings, refusals):
            (sentence,) = sentences(lines, entry(kind))
            assert re.search(REFUSED[kind][1], sentence)
    assert len(findings) == len(BROKEN)
    for output in (told.stdout, told.stderr, run.stdout, run.stderr):
        assert "Traceback" not in output
    left = {path.name for path in (tmp_path / "results" / "odd").iterdir()}
    assert left == {"benchmarks", "data", "logs"}
