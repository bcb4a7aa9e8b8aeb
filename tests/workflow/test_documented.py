"""What the pages and configs show can be typed as it stands: commands, and entries of a config."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from dry_runs import ROOT, dry_run
from holdfast.__main__ import main

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in PAGES}
CONFIGS = sorted(ROOT.glob("config/*.yaml"))
MAKEFILE = (ROOT / "Makefile").read_text()
LOCAL = ("real-data.yaml", "paper-tiny.yaml")  # configs that read files of `data_root`

# A command stands in a line of its own, in a comment's, or in `code`.
SHOWN = r"(?:`|^#? *)({} [^`#\n]*{}[^`#\n]*)"
SNAKEMAKE = re.compile(SHOWN.format("snakemake", r"(?:--cores|-n\b)"), flags=re.MULTILINE)
HOLDFAST = re.compile(SHOWN.format("holdfast", ""), flags=re.MULTILINE)
MAKE = re.compile(SHOWN.format("make", ""), flags=re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
ENTRIES = {
    f"{name}-{number}": entries.replace("<40-digit commit>", "a" * 40)
    for name, text in TEXTS.items()
    for number, entries in enumerate(re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL))
}


def commands(pattern: re.Pattern[str]) -> list[str]:
    texts = [*TEXTS.values(), *(path.read_text() for path in CONFIGS)]
    shown = {line.strip() for text in texts for line in pattern.findall(text)}
    return sorted(line for line in shown if "<" not in line)


def test_the_pages_show_commands_and_entries() -> None:
    assert len(commands(SNAKEMAKE)) > 10
    assert len(commands(HOLDFAST)) > 5
    assert len(commands(MAKE)) > 5
    assert len(ENTRIES) > 2
    assert {"README.md", "CONTRIBUTING.md", "docs/cluster.md", "config/README.md"} <= set(TEXTS)


@pytest.mark.parametrize("command", commands(SNAKEMAKE))
def test_a_command_can_be_planned(
    command: str,
    folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if command.endswith(LOCAL):
        monkeypatch.setenv("HOLDFAST_DATA", str(request.getfixturevalue("real_data")))
    mine = folder / "mine.yaml"
    (own,) = [entries for entries in ENTRIES.values() if entries.startswith("# mine.yaml")]
    mine.write_text(own)
    words = [word.replace("mine.yaml", str(mine)) for word in shlex.split(command)[1:]]
    if "--report" in words:  # of finished results
        at = words.index("--report")
        del words[at : at + 2]
    assert dry_run(folder, *words)


@pytest.mark.parametrize("command", commands(HOLDFAST))
def test_the_command_line_has_a_command_and_its_options(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *words = shlex.split(command)[1:]
    monkeypatch.setattr(sys, "argv", ["holdfast", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0, f"there is no `holdfast {name}`"
    ours = words[: words.index("--")] if "--" in words else words  # what follows is Snakemake's
    options = {word for word in ours if word.startswith("--")}
    assert options <= set(re.findall(r"--[\w-]+", capsys.readouterr().out))


@pytest.mark.parametrize("command", commands(MAKE))
def test_make_has_the_targets(command: str) -> None:
    known = set(re.findall(r"^([\w./-]+):", MAKEFILE, flags=re.MULTILINE))
    targets = [word for word in command.split(" &&")[0].split()[1:] if "=" not in word]
    assert targets
    assert set(targets) <= known


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_can_be_laid_over_the_papers(name: str, folder: Path) -> None:
    overlay = folder / "entries.yaml"
    overlay.write_text(ENTRIES[name])
    assert dry_run(folder, "--configfile", "config/paper.yaml", str(overlay))


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    for link in LINK.findall(TEXTS[name]):
        path, _, place = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if place and target.suffix == ".md":
            assert place in places(target.read_text()), link


def places(page: str) -> set[str]:
    """Return the headings of a page as its links name them."""
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_hooks_before_a_commit_are_tools_of_make_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    tools = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks[0]["hooks"]}
    assert tools == {"ruff", "mypy", "lint-imports", "snakefmt"}
    for tool in tools:
        assert f"$(BIN)/{tool}" in MAKEFILE
