"""Every snakemake command that the pages and configs show can be typed as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
PAGES = [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")]
CONFIGS = sorted(ROOT.glob("config/*.yaml"))
COMMAND = re.compile(r"(?:`|^#? *)(snakemake [^`#\n]*(?:--cores|-n )[^`#\n]*)", flags=re.MULTILINE)


def commands() -> list[str]:
    found = [line for page in [*PAGES, *CONFIGS] for line in COMMAND.findall(page.read_text())]
    return sorted({line.strip() for line in found if "<" not in line})


def test_the_pages_show_commands() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_can_be_planned(command: str, tmp_path: Path) -> None:
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "mine.yaml").write_text("run: mine\n")
    words = [
        word.replace("mine.yaml", str(tmp_path / "mine.yaml")) for word in shlex.split(command)[1:]
    ]
    if "--report" in words:  # needs finished results
        at = words.index("--report")
        del words[at : at + 2]
    run = subprocess.run(
        [SNAKEMAKE, "-n", "--directory", str(tmp_path), *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
