"""``python -m benchmarks.planning``: what planning large runs costs, and many jobs on a cluster.

Snakemake plans a run of many cells (model x arm x seed x perturbation x level x draw) in a dry run.
With ``--slurm``, many jobs that do nothing also go through ``profiles/slurm`` on the one-node
cluster of the tests, and each must be done once.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
SIZES = (100, 500, 1000, 2000, 5000)
PAGE = ROOT / "benchmarks" / "results" / "planning.md"
CPUS = 16
# Every job appends its number to one file, so that a job that ran twice shows.
MANY = """
rule all:
    localrule: True
    input: expand("done/{number}", number=range(int(config["jobs"])))

rule nothing:
    output: "done/{number}"
    log: "logs/{number}.log"
    resources: mem_mb=1000, runtime=10
    shell: "echo {wildcards.number} | tee -a ran > {output} 2> {log}"
"""


@dataclass(frozen=True)
class Measured:
    """What a Snakemake process took: seconds, seconds of CPU, bytes at its peak; its jobs."""

    seconds: float
    cpu: float
    peak: int
    jobs: int


def config(cells: int, levels: int = 1, draws: int = 1) -> dict[str, Any]:
    """Return an overlay with a table ``load`` of ``cells`` cells.

    There are two models, two seeds and 25 / (levels x draws) perturbations; arms grow with the
    cells. Every job evaluates one perturbation.
    """
    names = [f"noise{number}" for number in range(25 // (levels * draws))]
    arms = [f"arm{number}" for number in range(cells // 100)]
    noise = {"kind": "weight_noise", "levels": list(range(1, levels + 1)), "draws": draws}
    tuned = {"stage": "first_order", "from": "original", "learning_rate": 0.01}
    sections = [{"arm": arm, "perturbations": names} for arm in arms]
    table = {"kind": "robustness", "title": "Load", "metrics": ["perplexity"]}
    return {
        "run": "load",
        "seeds": [0, 1],
        "perturbations_per_job": 1,
        "models": {"second": {"pocket": {"seed": 1}}},
        "arms": {arm: tuned | {"steps": number + 1} for number, arm in enumerate(arms)},
        "perturbations": dict.fromkeys(names, noise),
        "tables": {"load": table | {"sections": sections}},
    }


def planned(overlay: Mapping[str, Any], folder: Path) -> Measured:
    """Plan the table ``load`` in an empty folder."""
    (folder / "config").symlink_to(ROOT / "config")
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(dict(overlay)))
    command = [SNAKEMAKE, "--dry-run", "--quiet", "rules", "--directory", str(folder)]
    return _measure([*command, "--configfile", str(path), "--", "load"], ROOT, os.environ)


def through_slurm(jobs: int, folder: Path, environment: Mapping[str, str]) -> Measured:
    """Run ``jobs`` jobs in the cluster that ``environment`` leads to; each must run once."""
    (folder / "Snakefile").write_text(MANY)
    command = [SNAKEMAKE, "--workflow-profile", str(ROOT / "profiles" / "slurm")]
    measured = _measure([*command, "--config", f"jobs={jobs}"], folder, environment)
    expected = sorted(map(str, range(jobs)))
    assert sorted((folder / "ran").read_text().split()) == expected, "lost or ran twice"
    assert sorted(path.read_text().strip() for path in (folder / "done").iterdir()) == expected
    return measured


def _measure(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Measured:
    start = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=environment, stdout=told, stderr=subprocess.STDOUT
        )
        _, code, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(code)
        told.seek(0)
        text = told.read().decode()
    assert process.returncode == 0, text[-3000:]
    total = re.search(r"^total +(\d+)$", text, flags=re.MULTILINE)
    assert total, text[-3000:]
    return Measured(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, int(total[1]))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the page; all sizes with ``--slurm`` are also stored."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--slurm", type=int, metavar="JOBS", help="jobs for the cluster (500)")
    arguments = parser.parse_args(argv)
    shapes = [(cells, 1, 1) for cells in arguments.cells] + [(max(arguments.cells), 5, 5)]
    rows = []
    for shape in shapes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(shape[0], shape[1] * shape[2], planned(config(*shape), Path(folder))))
        print(rows[-1], flush=True)
    cluster = [_cluster_section(arguments.slurm)] if arguments.slurm else []
    # Imported only now: a process's peak counts what it was forked from, and this brings torch.
    from benchmarks.report import measured_on

    parts = [
        "# Planning",
        f"{measured_on('snakemake', 'snakemake-executor-plugin-slurm')} "
        "[What the rows are](../README.md#planning-large-runs).",
        "## Dry runs\n\n| cells | cells a job | jobs in all | wall time | CPU time | peak memory |"
        "\n|--:|--:|--:|--:|--:|--:|\n" + "\n".join(rows),
    ]
    parts += cluster
    page = "\n\n".join(parts) + "\n"
    print(f"\n{page}")
    if arguments.slurm and arguments.cells == list(SIZES):
        PAGE.write_text(page, encoding="utf-8")


def _cluster_section(jobs: int) -> str:
    cluster = runpy.run_path(str(ROOT / "tests" / "slurm" / "cluster.py"))["cluster"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        with cluster(Path(folder) / "cluster", cpus=CPUS) as started:
            took = through_slurm(jobs, work, started.environment)
    return (
        f"## {jobs} jobs in a SLURM cluster of {CPUS} declared CPUs\n\n"
        f"All {jobs} done, each once, in {took.seconds:.0f} s ({took.seconds / jobs:.2f} s a job);"
        f" the Snakemake process took {took.cpu:.0f} s of CPU time and {took.peak / 2**20:.0f} MiB."
    )


def _row(cells: int, per_job: int, took: Measured) -> str:
    numbers = (f"{took.jobs:,}", f"{took.seconds:.1f} s", f"{took.cpu:.1f} s")
    return f"| {cells:,} | {per_job} | {' | '.join(numbers)} | {took.peak / 2**20:.0f} MiB |"


if __name__ == "__main__":
    main()
