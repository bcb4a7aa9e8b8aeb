"""Controls, LoX, smoothed training and a fine-tuning attack, on the finished small run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from small_run import RESULTS, snakemake

OVERLAY = Path(__file__).with_name("rivals.yaml")


@pytest.fixture(scope="module")
def results(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(
        shutil.copytree(finished, tmp_path_factory.mktemp("rivals") / "run", symlinks=True)
    )
    snakemake(folder, "rivals", "rival_cost", "rival_claims", "attack", overlays=[OVERLAY])
    return folder / RESULTS


def values(results: Path, table: str) -> dict[tuple[str, str, str, str], float]:
    with (results / "tables" / f"{table}.csv").open(newline="") as file:
        return {
            (row["arm"], row["perturbation"], row["level"], row["metric"]): float(row["value"])
            for row in csv.DictReader(file)
        }


def test_an_attack_undoes_alignment_and_lox_resists_it(results: Path) -> None:
    found = values(results, "rivals")
    asr = {(arm, level): found[arm, *cell, "harmbench"] for arm in ("fo", "lox_full")
           for level, cell in (("NA", ("none", "NA")), ("40", ("harmful", "40")))}  # fmt: skip
    assert asr["fo", "40"] > asr["fo", "NA"] + 0.1
    assert asr["lox_full", "NA"] <= asr["fo", "NA"]
    assert found["fo", "harmful", "5", "harmbench"] < asr["fo", "40"]


def test_the_claim_of_lox_is_judged_by_the_same_numbers(results: Path) -> None:
    found = values(results, "rivals")
    fo, lox = (found[arm, "harmful", "40", "harmbench"] for arm in ("fo", "lox_full"))
    with (results / "tables" / "rival_claims.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["estimate"]) == pytest.approx(lox - fo, abs=2e-6)
    told = float(row["p_adjusted"]) < 0.05
    assert row["verdict"] == (
        "cannot tell" if not told else "supported" if lox < fo else "contradicted"
    )


def test_controls_hardly_move_perplexity(results: Path) -> None:
    found = values(results, "rivals")
    for arm in ("recast", "random", "flip"):
        here, there = (found[one, "none", "NA", "perplexity"] for one in (arm, "fo"))
        assert here == pytest.approx(there, rel=0.02)
        assert here != there


def test_costs_of_all_repairs_are_comparable(results: Path) -> None:
    found = values(results, "rival_cost")
    passes = {arm: found[arm, "NA", "NA", "forward_passes"] for arm in ("fo", "lox", "smoothed")}
    assert passes == {"fo": 100 * 8 * 3, "lox": 0, "smoothed": 3 * 8 * 2 * 3}
    assert all(found[arm, "NA", "NA", "wall_s"] > 0 for arm in passes)


def test_attacked_checkpoints_are_dropped_once_they_were_tested(results: Path) -> None:
    assert (results / "pocket/fo/seed0/harmful/completions.jsonl").exists()
    assert not (results / "pocket/fo/seed0/harmful/quantized").exists()


def test_the_curve_is_drawn(results: Path) -> None:
    assert (results / "figures" / "attack.svg").stat().st_size > 1000
