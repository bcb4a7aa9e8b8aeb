"""Real HarmBench, AdvBench and WikiText-2 at full size through the rules, on one cell."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from small_run import ROOT, SNAKEMAKE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Path:
    folder = tmp_path_factory.mktemp("real")
    (folder / "config").symlink_to(ROOT / "config")
    overlays = [ROOT / "config" / "real-data.yaml", Path(__file__).with_name("one-cell.yaml")]
    command = [SNAKEMAKE, "table1", "--cores", str(os.cpu_count() or 1)]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--workflow-profile", str(ROOT / "profiles" / "default")]
    command += ["--configfile", *map(str, overlays)]
    environment = os.environ | {"HOLDFAST_DATA": str(real_data)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]
    return folder / "results" / "one-cell"


def test_every_behavior_is_completed_and_judged(home: Path) -> None:
    summary = json.loads(next(home.glob("*/original/seed0/none/summary.json")).read_text())
    assert summary["behaviors"] == 300
    (cell,) = summary["cells"]
    for judge in ("harmbench", "llamaguard", "refusal_prefix"):
        assert len(cell["outcomes"][judge][0]) == 300
    assert len(cell["perplexity"][0]["nll"]) > 100
    assert set(cell["perplexity"][0]["tokens"]) == {2047}
    scores = cell["lm_eval"]
    assert len(scores["harmbench_category"]["scores"][0]) == 400
    assert len(scores["advbench_refusal"]["scores"][0]) == 520


def test_contexts_are_part_of_the_prompts(home: Path) -> None:
    rows = [json.loads(line) for line in (home / "data" / "behaviors.jsonl").open()]
    assert sum(bool(row["context"]) for row in rows) == 100
    assert sum("context" in row["tags"] for row in rows) == 100


def test_the_table_says_that_its_numbers_mean_nothing(home: Path) -> None:
    for suffix in ("md", "tex", "html", "txt"):
        text = (home / "tables" / f"table1.{suffix}").read_text()
        assert "NUMBERS MEAN NOTHING" in text.upper()
