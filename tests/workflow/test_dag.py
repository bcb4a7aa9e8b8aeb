"""The DAG: dry runs of every shipped config, and what a single target asks for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from dry_runs import ROOT, dry_run, snakemake


def evaluations(jobs: Counter[str]) -> int:
    return sum(count for rule, count in jobs.items() if rule.startswith("evaluate_"))


def judgments(jobs: Counter[str]) -> int:
    return sum(count for rule, count in jobs.items() if re.fullmatch(r"judge_\d+", rule))


def summaries(jobs: Counter[str]) -> int:
    return sum(count for rule, count in jobs.items() if re.fullmatch(r"summary_\d+", rule))


def test_the_default_makes_every_table_and_figure(folder: Path) -> None:
    jobs = dry_run(folder)
    assert jobs["table"] == 11
    assert jobs["figure"] == 4
    assert summaries(jobs) == 8


def test_one_table_computes_only_what_it_needs(folder: Path) -> None:
    jobs = dry_run(folder, "table2")
    assert jobs["table"] == 1
    assert jobs["figure"] == 0
    assert summaries(jobs) == 3  # original, fo, zo_robust
    assert jobs["zeroth_order"] == 1
    assert jobs["first_order"] == 1


@pytest.mark.parametrize(("table", "arms"), [("kappa", 3), ("flips", 2), ("hidden_danger", 3)])
def test_a_table_of_verdicts_needs_the_summaries_of_its_arms(
    folder: Path, table: str, arms: int
) -> None:
    jobs = dry_run(folder, table)
    assert (jobs["table"], summaries(jobs), jobs["figure"]) == (1, arms, 0)


def test_one_figure_computes_only_what_it_needs(folder: Path) -> None:
    jobs = dry_run(folder, "figure2")
    assert evaluations(jobs) == judgments(jobs) == jobs["zeroth_order"] == 0
    assert jobs["layer_scores"] == 4  # two chunks of robustness, one of SNIP, one of WANDA


def test_gaps_are_measured_where_something_shows_them(folder: Path) -> None:
    overlay = folder / "overlay.yaml"
    overlay.write_text(
        """
tables:
  around: {kind: gap, title: Gap, arms: [fo, zo], references: {fo: original, zo: fo}}
figures:
  curve: {kind: gap_curve, title: Gap, arms: [fo, zo_robust]}
"""
    )
    config = ("--configfile", str(overlay))
    table, both = dry_run(folder, "around", *config), dry_run(folder, "around", "curve", *config)
    assert (table["robustness_gap"], table["zeroth_order"]) == (3, 1)  # with the reference
    assert (both["robustness_gap"], both["zeroth_order"]) == (4, 2)
    assert evaluations(both) == judgments(both) == 0
    assert dry_run(folder, "table2", *config)["robustness_gap"] == 0


def test_exporting_an_arm_evaluates_nothing(folder: Path) -> None:
    jobs = dry_run(folder, "export_zo_robust")
    assert jobs["export"] == 1
    assert evaluations(jobs) == 0


def test_a_selection_is_scattered_over_layers(folder: Path) -> None:
    jobs = dry_run(folder, "figure2", "--config", "selections={robustness: {layers_per_job: 1}}")
    assert jobs["layer_scores"] == 8


def test_real_data_is_the_same_dag(folder: Path, real_data: Path) -> None:
    config = str(ROOT / "config" / "real-data.yaml")
    ours = dry_run(folder)
    theirs = dry_run(folder, "--configfile", config, "--config", f"data_root={real_data}")
    for rule in ("first_order", "zeroth_order", "summary_0", "figure"):
        assert theirs[rule] == ours[rule]
    assert evaluations(theirs) == evaluations(ours)
    assert judgments(theirs) == judgments(ours) == 8


@pytest.mark.parametrize(("size", "expected"), [(1, 5), (2, 3), (5, 1)])
def test_perturbations_share_jobs_as_the_config_says(
    folder: Path, size: int, expected: int
) -> None:
    jobs = dry_run(folder, "table1", "--config", f"perturbations_per_job={size}")
    assert evaluations(jobs) == expected


@pytest.mark.parametrize(("size", "expected"), [(1, 9), (2, 6), (3, 3)])
def test_judges_share_jobs_as_the_config_says(folder: Path, size: int, expected: int) -> None:
    jobs = dry_run(folder, "table2", "--config", f"judges_per_job={size}")
    assert judgments(jobs) == expected  # original, fo, zo_robust


def test_a_ready_made_checkpoint_is_tested_where_there_is_one(folder: Path) -> None:
    overlay = folder / "overlay.yaml"
    overlay.write_text(
        """
models: {other: {pocket: {seed: 1}}}
perturbations:
  ready: {kind: checkpoint, levels: {AWQ: [{model: other, path: somewhere}]}}
  w4a16: {backend: gptqmodel, levels: {W4A16-tensor: null, W3A16-tensor: null}}
"""
    )
    jobs = dry_run(folder, "table1", "--configfile", str(overlay))
    assert (jobs["ready_made"], jobs["evaluate_0"], jobs["evaluate_1"]) == (
        1,
        2,
        1,
    )
    assert (jobs["quantize_gptqmodel"], jobs["export"], jobs["quantize"]) == (2, 2, 0)


def test_a_mistake_ends_in_one_sentence() -> None:
    run = snakemake("-n", "--config", "seeds=[-1]")
    assert run.returncode == 1
    assert "holdfast: seeds.0: '-1' is wrong" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_lint_is_clean() -> None:
    run = snakemake("--lint")
    assert run.returncode == 0, run.stdout + run.stderr


def test_scripts_are_short_and_rules_hold_no_logic() -> None:
    for script in (ROOT / "workflow" / "scripts").glob("*.py"):
        assert len(script.read_text().splitlines()) <= 30, script
    for rules in (ROOT / "workflow" / "rules").glob("*.smk"):
        assert "def " not in rules.read_text(), rules


def test_the_evidence_run_measures_three_seeds_of_every_repair(folder: Path) -> None:
    config = str(ROOT / "config" / "evidence.yaml")
    jobs = dry_run(folder, "repairs", "gap", "--configfile", config)
    assert summaries(jobs) == 15 * 3  # 12 sections, 3 controls
    assert jobs["robustness_gap"] == 7 * 3
    assert jobs["move"] == (4 + 1) * 3  # controls, LoX


def test_the_attacks_are_an_overlay_of_the_papers_run(folder: Path) -> None:
    configs = [str(ROOT / "config" / name) for name in ("paper.yaml", "attacks.yaml")]
    jobs = dry_run(folder, "attacks", "--configfile", *configs)
    assert jobs["finetune"] == 2 * 4 * 3  # models, arms, attacks
    assert (summaries(jobs), jobs["move"]) == (evaluations(jobs), 2)  # one beside each
