"""Planning with Snakemake, without running a job."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from places import ROOT

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


def snakemake(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [SNAKEMAKE, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def dry_run(folder: Path, *arguments: str) -> Counter[str]:
    """Plan in a folder without results; return the number of jobs by rule."""
    run = snakemake("-n", "--directory", str(folder), *arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE)
    return Counter({rule: int(count) for rule, count in rows if rule != "total"})
