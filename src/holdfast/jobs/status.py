"""What the last run of a results folder has finished, runs, waits for and failed at.

Snakemake tells at its start which jobs there are (``record_run``); each job keeps a record beside
its log. Nothing here asks Snakemake, so it may run meanwhile.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.jobs.record import Execution, job_name, last_execution
from holdfast.progress import last_line

STATES = ("finished", "running", "waiting", "failed")
TAIL_BYTES = 64 * 1024


class Job(NamedTuple):
    """A job of a run, and how it is now; ``cells`` are those it evaluates."""

    stage: str
    name: str
    log: str
    cells: int
    state: str
    execution: Execution | None


def record_run(
    dag: Any, results: Path, cell_count: Callable[[str, Mapping[str, str]], int]
) -> None:
    """Write which jobs a starting run has: from its DAG, those that make files.

    ``cell_count`` says of a rule and its wildcards how many cells the job evaluates.
    """
    jobs = [
        {
            "rule": job.rule.name,
            "wildcards": dict(job.wildcards_dict),
            "log": str(job.log[0]),
            "outputs": [str(path) for path in job.output if "temp" not in path.flags],
            "cells": cell_count(job.rule.name, job.wildcards_dict),
            "needed": dag.needrun(job),
        }
        for job in dag.jobs
        if job.output
    ]
    jobs.sort(key=lambda job: (job["log"], job["outputs"]))
    write_json(_path(results), {"started": time.time(), "jobs": jobs})


def require_current(results: Path) -> None:
    """Raise HoldfastError where an earlier release, which kept its results otherwise, made a run.

    It had one summary and one folder of verdicts an arm; there is one under each perturbation now.
    """
    for name in ("summary.json", "verdicts"):
        if any(results.glob(f"*/*/seed*/{name}")):
            raise HoldfastError(
                f"{results} was made by an earlier release, which kept summaries and verdicts in"
                " other places: give the run another name (`run:` in the config), or remove the"
                " folder to make it again"
            )


def status(results: Path) -> str:
    """Return, for a terminal, the counts by stage, and what runs and failed with the logs to read.

    Raises:
        HoldfastError: nothing was run in ``results``.
    """
    if not _path(results).exists():
        raise HoldfastError(
            f"{results} has no run to tell of; `snakemake -n` says what would be run"
        )
    run = read_json(_path(results))
    # What Snakemake's paths start from, whatever disk the results are linked to.
    root = Path(os.path.abspath(results)).parents[1]  # noqa: PTH100
    jobs = [_job(root, entry, run["started"]) for entry in run["jobs"]]
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["started"]))
    lines = [f"{results}: the run started at {started}", "", *_table(jobs)]
    for state in ("running", "failed"):
        chosen = [job for job in jobs if job.state == state]
        if chosen:
            lines += ["", state.capitalize()]
            lines += [line for job in chosen for line in _details(root, job)]
    return "\n".join(lines)


def _path(results: Path) -> Path:
    return results / "logs" / "run.json"


def _job(root: Path, entry: dict[str, Any], started: float) -> Job:
    execution = last_execution(root / entry["log"])
    if execution and execution.state != "running" and execution.started < started:
        execution = None  # of a run before this one
    state = execution.state if execution else "waiting"
    if state == "finished" and _missing(root, entry["outputs"]):
        state = "waiting"
    if state == "waiting" and not entry["needed"]:
        state = "finished"
    stage = re.sub(r"_\d+$", "", entry["rule"])
    name = job_name(entry["rule"], entry["wildcards"])
    return Job(stage, name, entry["log"], entry["cells"], state, execution)


def _missing(root: Path, outputs: Iterable[str]) -> bool:
    return any(not (root / output).exists() for output in outputs)


def _table(jobs: list[Job]) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    cells: Counter[str] = Counter()
    for job in jobs:
        counts.setdefault(job.stage, Counter())[job.state] += 1
        cells[job.state] += job.cells
    rows = [("jobs", Counter(job.state for job in jobs)), ("cells", cells)]
    rows = [*sorted(counts.items()), *(row for row in rows if row[1].total())]
    width = max(len(name) for name, _ in rows)
    head = " ".join(f"{state:>9}" for state in STATES)
    lines = [f"{'':{width}} {head}"]
    for name, count in rows:
        numbers = " ".join(f"{count[state] or '-':>9}" for state in STATES)
        lines += [""] if name == "jobs" else []
        lines.append(f"{name:{width}} {numbers}")
    return lines


def _details(root: Path, job: Job) -> list[str]:
    assert job.execution is not None
    if job.state == "failed":
        told = str(job.execution.error).splitlines()[0]
    else:
        minutes = (time.time() - job.execution.started) / 60
        where = f"SLURM job {job.execution.slurm_job}, " if job.execution.slurm_job else ""
        told = f"{where}{minutes:.0f} min; {_progress(root / job.log) or 'no progress told yet'}"
    plain = "".join(letter if letter.isprintable() else "?" for letter in told)
    return [f"  {job.name}: {plain}", f"    {job.log}"]


def _progress(log: Path) -> str | None:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return last_line(file.read().decode("utf-8", errors="replace"))
    except OSError:
        return None
