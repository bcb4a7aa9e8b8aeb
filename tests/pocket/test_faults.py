"""A run whose jobs are killed ends in the same tables as one that was left alone."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from small_run import RESULTS, command, snakemake

# Every job of these rules is killed once, some time after it began to work. (Training of the
# world's own models is killed by the tests of that package.)
MADE = ("world", "data", "models", "judges")
VICTIMS = {
    "first_order": 5.0,
    "zeroth_order": 4.0,
    "quantize": 6.0,
    "evaluate": 6.0,
    "judge": 4.0,
}


def jobs_of(snakemake_process: subprocess.Popen[str]) -> list[tuple[str, psutil.Process]]:
    """Return the running scripts below a Snakemake process by rule."""
    found = []
    try:
        children = psutil.Process(snakemake_process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for child in children:
        try:
            line = child.cmdline()
        except psutil.Error:
            continue
        if len(line) > 1 and "python" in line[0] and "/scripts/" in line[1]:
            found.append((line[1].rsplit(".", 2)[-2], child))
    return found


def run_and_kill(folder: Path, waiting: dict[str, float]) -> None:
    """Run to the end, killing the first job of each rule in ``waiting`` once it is old."""
    with subprocess.Popen(
        command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, text=True, cwd=folder
    ) as run:
        while run.poll() is None:
            for rule, process in jobs_of(run):
                try:
                    old = time.time() - process.create_time() > waiting.get(rule, float("inf"))
                except psutil.NoSuchProcess:
                    continue
                if old:
                    del waiting[rule]
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.1)


def without_timings(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("metric") not in TIMINGS]


TIMINGS = ("wall_s", "peak_memory_bytes")


def test_killed_jobs_lose_nothing_and_change_nothing(finished: Path, tmp_path: Path) -> None:
    for name in MADE:
        shutil.copytree(finished / RESULTS / name, tmp_path / RESULTS / name)
    shutil.copytree(finished / ".snakemake" / "metadata", tmp_path / ".snakemake" / "metadata")
    assert "base_model" not in snakemake(tmp_path, "-n", "--quiet", "host")
    waiting = dict(VICTIMS)
    for _ in VICTIMS:
        if waiting:
            run_and_kill(tmp_path, waiting)
    assert len(waiting) <= 2, f"never killed: {waiting}"
    snakemake(tmp_path)
    tables = sorted((finished / RESULTS / "tables").glob("*.csv"))
    assert tables
    for table in tables:
        again = tmp_path / table.relative_to(finished)
        if table.stem not in ("table3", "claims"):
            assert again.read_bytes() == table.read_bytes(), table.name
        assert without_timings(again) == without_timings(table)
