"""The jobs of a sweep, and that nothing else asks for them."""

from __future__ import annotations

from pathlib import Path

from dry_runs import dry_run


def test_a_sweep_makes_its_points_and_evaluates_no_arm(folder: Path) -> None:
    assert dry_run(folder, "sweep_zo_robust") == {
        "pocket_world": 1,
        "data": 6,  # alignment, safety, calibration, behaviors, benign, an lm-eval task
        "base_model": 1,
        "first_order": 1,
        "layer_scores": 2,
        "selection": 1,
        "zeroth_order": 4,  # zo_robust itself and the three other points
        "validation": 1,
        "points_zo_robust_0": 1,
        "sweep": 1,
        "sweep_zo_robust": 1,
    }


def test_all_sweeps_are_one_target(folder: Path) -> None:
    overlay = folder / "more.yaml"
    overlay.write_text("arms: {fo: {sweep: {momentum: [0, 0.5]}}}")
    jobs = dry_run(folder, "sweeps", "--configfile", str(overlay))
    assert (jobs["sweep"], jobs["first_order"], jobs["zeroth_order"]) == (2, 2, 4)


def test_the_default_run_is_the_same_with_and_without_sweeps(folder: Path) -> None:
    overlay = folder / "without.yaml"
    overlay.write_text("arms: {zo_robust: {sweep: null}}\ndata: {validation: null}")
    plain = dry_run(folder, "--configfile", str(overlay))
    assert dry_run(folder) == plain
    assert not {"sweep", "validation"} & set(plain)
    assert not [rule for rule in plain if rule.startswith("points_")]
