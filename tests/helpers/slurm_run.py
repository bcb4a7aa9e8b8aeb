"""Running Snakemake on the config of this folder: in a cluster, or on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster import Cluster
from places import ROOT, TESTS

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
RESULTS = Path("results") / "slurm"
# The profile's pace suits jobs of hours.
QUICK = ("--slurm-init-seconds-before-status-checks", "2")


def command(folder: Path, profile: str, *arguments: str) -> list[str]:
    where = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    config = ["--configfile", str(TESTS / "slurm" / "small.yaml")]
    return [
        *(SNAKEMAKE, *arguments, *where, *config),
        *("--workflow-profile", str(ROOT / "profiles" / profile)),
    ]


def working_folder(folder: Path) -> Path:
    """Give a folder the default config."""
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "config.yaml").symlink_to(ROOT / "config" / "config.yaml")
    return folder


def finish(slurm: Cluster, folder: Path, *arguments: str) -> str:
    """Run to the end in the cluster; return what Snakemake said."""
    run = subprocess.run(
        command(folder, "slurm", *QUICK, *arguments),
        env=slurm.environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output[-6000:] + slurm_logs(folder)
    return output


def start(slurm: Cluster, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a run in the cluster."""
    with (folder / "snakemake.log").open("ab") as log:
        return subprocess.Popen(
            command(folder, "slurm", *QUICK, *arguments),
            env=slurm.environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A shell's background jobs ignore SIGINT, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def run_locally(folder: Path) -> None:
    run = subprocess.run(
        command(folder, "default", "--cores", str(os.cpu_count() or 1)),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]


def slurm_logs(folder: Path) -> str:
    """Return the ends of the logs that SLURM keeps of failed jobs."""
    logs = sorted((folder / "results" / "slurm-logs").rglob("*.log"))
    return "".join(f"\n{log}\n{log.read_text()[-2000:]}" for log in logs)


def wait_until(happened: Callable[[], object], what: str, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"this never happened: {what}"
        time.sleep(0.2)
