"""Bad input in a real run: one sentence on the terminal, exit code 1, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
HEADER = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
CONFIG = """
data_root: {folder}
data:
  behaviors: {{source: {{pocket: null, path: doubled.csv}}}}
  benign: {{source: {{pocket: null, path: columns.csv}}}}
  alignment: {{source: {{pocket: null, path: latin.json}}}}
models:
  folder: {{path: {folder}/model, layers: 2}}
"""
TARGETS = {
    "results/pocket/data/behaviors.jsonl": r"behaviors.*1 identifiers occur more than once, 'one'",
    "results/pocket/data/benign.jsonl": r"benign.*columns\.csv has no column prompt or Behavior",
    "results/pocket/data/alignment.jsonl": r"alignment.*latin\.json is not text in UTF-8",
    "results/pocket/models/folder": r"models\.folder\.path: .*model\.safetensors is cut off",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with three unusable tables and a checkpoint that lost its end."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    row = "a,standard,c,,,one\n"
    (tmp_path / "doubled.csv").write_text(HEADER + row + row)
    (tmp_path / "columns.csv").write_text("text\nHello\n")
    (tmp_path / "latin.json").write_bytes('[{"prompt": "é", "response": "a"}]'.encode("latin-1"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 2}')
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(16)
    (model / "model.safetensors").write_bytes(whole[:-1])
    (tmp_path / "bad.yaml").write_text(CONFIG.format(folder=tmp_path))
    return tmp_path


def test_preflight_lists_them_all(folder: Path) -> None:
    command = [SNAKEMAKE, "--cores", "1", "--directory", str(folder), "preflight"]
    run = subprocess.run(
        [*command, "--configfile", str(folder / "bad.yaml")],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "HOLDFAST_DATA"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    for sentence in TARGETS.values():
        assert re.search(f"✗ .*{sentence}", run.stdout), (sentence, run.stdout)
    assert "Traceback" not in run.stdout + run.stderr


def test_each_mistake_is_one_sentence_and_leaves_nothing(folder: Path) -> None:
    command = [SNAKEMAKE, "--cores", "1", "--directory", str(folder), "--configfile"]
    run = subprocess.run(
        [*command, str(folder / "bad.yaml"), "--", *TARGETS],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "HOLDFAST_DATA"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    told = [line for line in run.stderr.splitlines() if line.startswith("holdfast: ")]
    for target, sentence in TARGETS.items():
        assert any(re.search(sentence, line) for line in told), (sentence, run.stderr)
        assert not (folder / target).exists()
    assert "Traceback" not in run.stdout + run.stderr
    run_folder = folder / "results" / "pocket"
    left = {path.relative_to(run_folder) for path in run_folder.rglob("*") if path.is_file()}
    assert {path.parts[0] for path in left} <= {"logs", "benchmarks"}, left
