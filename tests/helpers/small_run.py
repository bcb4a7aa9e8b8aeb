"""Running Snakemake on the small config of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from places import ROOT, TESTS

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
RESULTS = Path("results") / "small"


def command(folder: Path, *arguments: str, overlays: Sequence[Path] = ()) -> list[str]:
    configs = [str(path) for path in (TESTS / "pocket" / "small.yaml", *overlays)]
    cores = str(os.cpu_count() or 1)
    snakefile = str(ROOT / "Snakefile")
    fixed = ["--cores", cores, "--snakefile", snakefile, "--directory", str(folder)]
    profile = ["--workflow-profile", str(ROOT / "profiles" / "default")]
    return [SNAKEMAKE, *arguments, *fixed, *profile, "--configfile", *configs]


def snakemake(folder: Path, *arguments: str, overlays: Sequence[Path] = ()) -> str:
    """Run Snakemake on the small config in ``folder``; return what it printed."""
    (folder / "config").mkdir(exist_ok=True)
    default = folder / "config" / "config.yaml"
    if not default.exists():
        default.symlink_to(ROOT / "config" / "config.yaml")
    run = subprocess.run(
        command(folder, *arguments, overlays=overlays),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output[-6000:]
    return output
