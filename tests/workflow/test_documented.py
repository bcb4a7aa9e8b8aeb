"""What the pages and configs show can be typed as it stands: commands, and entries of a config."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dry_runs import ROOT, dry_run

README = (ROOT / "README.md").read_text().replace("<40-digit commit>", "a" * 40)
PAGES = [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")]
CONFIGS = sorted(ROOT.glob("config/*.yaml"))
COMMAND = re.compile(r"(?:`|^#? *)(snakemake [^`#\n]*(?:--cores|-n )[^`#\n]*)", flags=re.MULTILINE)
LOCAL = ("real-data.yaml", "paper-tiny.yaml")  # configs that read files of `data_root`
ENTRIES = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    found = [line for page in [*PAGES, *CONFIGS] for line in COMMAND.findall(page.read_text())]
    return sorted({line.strip() for line in found if "<" not in line})


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
    mine = folder / "mine.yaml"
    (own,) = [entries for entries in ENTRIES if entries.startswith("# mine.yaml")]
    mine.write_text(own)
    words = [word.replace("mine.yaml", str(mine)) for word in shlex.split(command)[1:]]
    if "--report" in words:  # of finished results
        at = words.index("--report")
        del words[at : at + 2]
    assert dry_run(folder, *words)


@pytest.mark.parametrize("entries", ENTRIES)
def test_entries_can_be_laid_over_the_papers(entries: str, folder: Path) -> None:
    overlay = folder / "entries.yaml"
    overlay.write_text(entries)
    assert dry_run(folder, "--configfile", "config/paper.yaml", str(overlay))
