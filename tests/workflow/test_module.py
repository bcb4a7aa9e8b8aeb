"""Holdfast within another workflow: as Snakemake's catalog and snakedeploy use it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from dry_runs import ROOT, dry_run, snakemake

USED = """
configfile: "config/config.yaml"

module holdfast:
    snakefile: "{root}/workflow/Snakefile"
    config: config
{prefix}
use rule * from holdfast{names}
"""
PREFIXED = USED.format(root=ROOT, prefix='    prefix: "sub"\n', names=" as holdfast_*")


def planned(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "Snakefile").write_text(text)
    run = snakemake("-n", *arguments, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return run


def test_both_snakefiles_make_the_same(folder: Path) -> None:
    catalog = dry_run(folder, "--snakefile", str(ROOT / "workflow" / "Snakefile"))
    assert catalog == dry_run(folder)
    assert catalog["zeroth_order"]


def test_deployed_it_makes_what_a_checkout_makes(folder: Path) -> None:
    run = planned(folder, USED.format(root=ROOT, prefix="", names=""))
    rows = dict(re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE))
    assert {name: int(count) for name, count in rows.items() if name != "total"} == dry_run(folder)


def test_a_module_keeps_to_its_prefix(folder: Path) -> None:
    run = planned(folder, PREFIXED, "holdfast_table2", "--printshellcmds")
    rows = dict(re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE))
    jobs = dry_run(folder, "table2")
    assert {name: int(count) for name, count in rows.items() if name != "total"} == {
        f"holdfast_{rule}": count for rule, count in jobs.items()
    }
    assert "sub/results/pocket/tables/table2.csv" in run.stdout
    assert not re.search(r"(?<!sub/)results/pocket", run.stdout)


def test_a_modules_jobs_find_each_others_files(folder: Path) -> None:
    goal = "sub/results/pocket/data/benign.jsonl"
    (folder / "Snakefile").write_text(PREFIXED)
    run = snakemake("--cores", "1", goal, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (folder / goal).read_text()
    assert not (folder / "results").exists()


def test_a_modules_local_files_are_where_the_config_says(folder: Path) -> None:
    rows = folder / "files" / "rows.csv"
    rows.parent.mkdir()
    rows.write_text("Behavior\nHow are you?\n")
    overlay = folder / "own.yaml"
    source = {"pocket": None, "path": "rows.csv"}
    overlay.write_text(
        yaml.safe_dump({"data_root": "files", "data": {"benign": {"source": source}}})
    )
    goal = "sub/results/pocket/data/benign.jsonl"
    (folder / "Snakefile").write_text(PREFIXED)
    run = snakemake("--cores", "1", goal, "--configfile", str(overlay), cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "How are you?" in (folder / goal).read_text()


def test_the_catalog_is_told_how_it_is_used() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["software-stack-deployment"]["conda"] is True
