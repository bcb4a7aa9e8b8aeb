"""Status and progress of a real run: in a terminal, and asked for while Snakemake is at work."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from places import ROOT

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
HOLDFAST = [sys.executable, "-m", "holdfast", "status", "results/tiny"]
HOOK = re.search(
    r"^onstart:\n(    .*\n)+", (ROOT / "workflow/Snakefile").read_text(), flags=re.MULTILINE
)
# The shipped hook and rule beside four jobs: a temporary file, one that
# waits to be let go, one that fails, and one that needs it.
SNAKEFILE = f"""
from pathlib import Path
from types import SimpleNamespace

from holdfast.jobs.slurm import take_over
from holdfast.jobs.status import record_run

plan = SimpleNamespace(
    paths=SimpleNamespace(results="results/tiny"),
    settings=SimpleNamespace(run="tiny"),
    evaluation=SimpleNamespace(cell_count=lambda rule, wildcards: 0),
)

pathvars:
    results=plan.paths.results,

{HOOK and HOOK.group()}
include: "{ROOT}/workflow/rules/status.smk"

rule all:
    default_target: True
    input: "results/tiny/slow.txt", "results/tiny/after.txt"

rule passing:
    output: temp("results/tiny/passing.txt")
    log: "results/tiny/logs/passing.log"
    script: "passing.py"

rule slow:
    input: rules.passing.output
    output: "results/tiny/slow.txt"
    log: "results/tiny/logs/slow.log"
    script: "slow.py"

rule broken:
    output: "results/tiny/broken.txt"
    log: "results/tiny/logs/broken.log"
    script: "broken.py"

rule after:
    input: rules.broken.output
    output: "results/tiny/after.txt"
    log: "results/tiny/logs/after.log"
    script: "broken.py"
"""
SLOW = """
import time
from pathlib import Path
from holdfast.jobs.frame import job
from holdfast.progress import track

with job(snakemake):
    for step in track(range(600), "steps"):
        time.sleep(0.2)
        if Path("go").exists():
            break
    Path(snakemake.output[0]).write_text("done")
"""
PASSING = """
from pathlib import Path
from holdfast.jobs.frame import job

with job(snakemake):
    Path(snakemake.output[0]).touch()
"""
BROKEN = """
from holdfast.jobs.frame import job

with job(snakemake):
    raise ValueError("broken on purpose")
"""


def wait_for(folder: Path, *patterns: str) -> str:
    """Ask for the status until it shows all of ``patterns``; return it."""
    text = ""
    for _ in range(60):
        asked = subprocess.run(HOLDFAST, cwd=folder, capture_output=True, text=True, check=False)
        text = asked.stdout + asked.stderr
        if all(re.search(pattern, text, flags=re.MULTILINE) for pattern in patterns):
            return text
        time.sleep(0.5)
    pytest.fail(text)


def status_beside_a_cluster(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the target where a run has jobs in SLURM; fail if it asks SLURM for them."""
    record = folder / ".snakemake" / "holdfast" / "slurm" / "tiny"
    record.parent.mkdir(parents=True)
    record.write_text("holdfast_of_a_live_run")
    squeue = folder / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\ntouch {folder}/asked\n")
    squeue.chmod(0o755)
    environment = os.environ | {"PATH": f"{squeue.parent}:{os.environ['PATH']}"}
    command = [SNAKEMAKE, "--cores", "1", "status"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert not (folder / "asked").exists()
    assert record.read_text() == "holdfast_of_a_live_run"
    return done


def test_status_and_progress_while_a_run_is_under_way(tmp_path: Path) -> None:
    scripts = {"slow.py": SLOW, "broken.py": BROKEN, "passing.py": PASSING}
    for name, text in {"Snakefile": SNAKEFILE, **scripts}.items():
        (tmp_path / name).write_text(text)
    ours, theirs = pty.openpty()
    command = [SNAKEMAKE, "--cores", "2", "--keep-going"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 4096):
                shown.append(part)
        except OSError:  # EIO: the other side is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        text = wait_for(tmp_path, r"^jobs +1 +1 +1 +1$", r"slow: 0 min; steps: \d+/600, .* s left$")
        assert "broken: ValueError: broken on purpose\n    results/tiny/logs/broken.log" in text
        locks = sorted((tmp_path / ".snakemake" / "locks").iterdir())
        target = [SNAKEMAKE, "--nolock", "--cores", "1", "status"]
        asked = subprocess.run(target, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert asked.returncode == 0, asked.stderr
        assert re.search(r"^jobs +1 +1 +1 +1$", asked.stdout, flags=re.MULTILINE)
        assert sorted((tmp_path / ".snakemake" / "locks").iterdir()) == locks != []
    finally:
        (tmp_path / "go").touch()
        code = run.wait(timeout=120)
        reader.join()
        os.close(ours)
    assert code == 1
    assert re.search(r"^jobs +2 +- +1 +1$", wait_for(tmp_path, "^jobs"), flags=re.MULTILINE)
    asked = status_beside_a_cluster(tmp_path)
    assert re.search(r"^jobs +2 +- +1 +1$", asked.stdout, flags=re.MULTILINE), asked.stderr
    terminal = b"".join(shown).decode()
    assert re.search(r"^slow: steps: \d+/600, \S+/s, \d+ s left\r$", terminal, flags=re.MULTILINE)
    assert "2 of 5 steps (40%) done" in terminal
