"""What the pages and configs show can be typed as it stands: commands, and entries of a config."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")]
CONFIGS = sorted(ROOT.glob("config/*.yaml"))
COMMAND = re.compile(r"(?:`|^#? *)(snakemake [^`#\n]*(?:--cores|-n )[^`#\n]*)", flags=re.MULTILINE)
LOCAL = ("real-data.yaml", "paper-tiny.yaml")  # configs that read files of `data_root`
ENTRIES = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    found = [line for page in [*PAGES, *CONFIGS] for line in COMMAND.findall(page.read_text())]
    return sorted({line.strip() for line in found if "<" not in line})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder that shares the config and holds the readme's own."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    (mine,) = [entries for entries in ENTRIES if entries.startswith("# mine.yaml")]
    (tmp_path / "mine.yaml").write_text(mine.replace("<40-digit commit>", "a" * 40))
    return tmp_path


def planned(folder: Path, *words: str) -> None:
    run = subprocess.run(
        [SNAKEMAKE, "-n", "--directory", str(folder), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


def test_the_pages_show_commands_and_entries() -> None:
    assert len(commands()) > 10
    assert len(ENTRIES) > 2


@pytest.mark.parametrize("command", commands())
def test_a_command_can_be_planned(
    command: str,
    folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if command.endswith(LOCAL):
        monkeypatch.setenv("HOLDFAST_DATA", str(request.getfixturevalue("real_data")))
    mine = str(folder / "mine.yaml")
    words = [word.replace("mine.yaml", mine) for word in shlex.split(command)[1:]]
    if "--report" in words:  # of finished results
        at = words.index("--report")
        del words[at : at + 2]
    planned(folder, *words)


@pytest.mark.parametrize("entries", ENTRIES)
def test_entries_can_be_laid_over_the_papers(entries: str, folder: Path) -> None:
    overlay = folder / "entries.yaml"
    overlay.write_text(entries.replace("<40-digit commit>", "a" * 40))
    planned(folder, "--configfile", "config/paper.yaml", str(overlay))
