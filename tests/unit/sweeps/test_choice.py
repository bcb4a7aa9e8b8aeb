"""The rule that chooses a point, and the table, figure and file that say so."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.settings.labels import Labels, PerturbationLabel
from holdfast.settings.sweeps import SweepResult
from holdfast.sweeps.choice import choose, scored
from holdfast.sweeps.table import make_sweep
from holdfast.sweeps.validation import DivergedPoint, ScoredPoint

LABELS = Labels(
    perturbations={"noise": PerturbationLabel(label="Noise <1>", symbol="σ")},
)


def scores(
    number: int,
    values: dict[str, Any],
    noisy: list[str],
    gaps: tuple[float, ...] = (0.1, 0.2, 0.3),
    **more: Any,
) -> dict[str, Any]:
    cells = [
        {"perturbation": "none", "level": "", "draws": 1, "outcomes": ["0" * len(noisy[0])]},
        {"perturbation": "noise", "level": "2", "draws": len(noisy), "outcomes": noisy},
    ]
    return {
        "model": "m",
        "arm": "zo",
        "point": f"zo.{number}",
        "seed": 0,
        "values": values,
        "move": float(number),
        "loss": 1.5,
        "gaps": list(gaps),
        "rho": 0.1,
        "behaviors_sha256": "x",
        "over_refusal": "0100",
        "cells": cells,
        **more,
    }


def point(content: dict[str, Any]) -> ScoredPoint | DivergedPoint:
    kind = DivergedPoint if "diverged" in content else ScoredPoint
    return kind.model_validate(content)


def chosen(by: str, *files: dict[str, Any]) -> str:
    return choose(scored(list(map(point, files)))["m"], by).name  # type: ignore[arg-type]


LOW, HIGH = "0" * 18 + "11", "1" * 10 + "0" * 10


def test_the_lowest_asr_is_chosen_though_it_moves_most() -> None:
    assert chosen("asr", scores(1, {}, [HIGH]), scores(2, {}, [HIGH]), scores(3, {}, [LOW])) == (
        "zo.3"
    )


def test_a_tie_goes_to_the_smaller_move() -> None:
    files = [scores(3, {}, [LOW]), scores(2, {}, [LOW]), scores(1, {}, [HIGH])]
    assert chosen("asr", *files) == "zo.2"


def test_a_point_within_one_standard_error_wins_by_its_smaller_move() -> None:
    def files(worse: int, better: int) -> list[dict[str, Any]]:
        """Two points that differ in ``worse + better`` of 40 behaviors."""
        small = "1" * worse + "0" * better + "0" * (40 - worse - better)
        large = "0" * worse + "1" * better + "0" * (40 - worse - better)
        return [scores(1, {}, [small]), scores(2, {}, [large])]

    for worse, better in [(1, 0), (3, 2), (5, 2), (8, 4), (9, 2), (20, 10)]:
        differences = [1] * worse + [-1] * better + [0] * (40 - worse - better)
        mean = sum(differences) / 40
        error = math.sqrt(sum((d - mean) ** 2 for d in differences) / 39 / 40)
        expected = "zo.1" if mean <= error + 1e-12 else "zo.2"
        assert chosen("asr", *files(worse, better)) == expected
    assert chosen("asr", *files(1, 0)) == "zo.1"
    assert chosen("asr", *files(9, 2)) == "zo.2"


def test_the_gap_is_compared_draw_by_draw() -> None:
    # The draws spread far more than the points differ, but the second is lower on every one.
    first = scores(1, {}, [HIGH], (0.1, 0.5, 0.9))
    second = scores(2, {}, [HIGH], (0.08, 0.47, 0.88))
    assert chosen("gap", first, second) == "zo.2"
    uncertain = scores(2, {}, [HIGH], (0.3, 0.2, 0.9))
    assert chosen("gap", first, uncertain) == "zo.1"
    assert chosen("asr", first, second) == "zo.1"


def test_seeds_are_pooled() -> None:
    files = [
        scores(1, {}, ["0011"], (0.1, 0.2)),
        scores(1, {}, ["0101"], (0.3, 0.6), seed=1, move=3.0),
    ]
    (pooled,) = scored(list(map(point, files)))["m"]
    assert pooled.gap.value == pytest.approx(0.3)
    assert pooled.move == 2.0
    assert pooled.asr.value == pytest.approx(0.5)
    assert (pooled.asr.units, pooled.asr.draws) == (4, 2)
    assert pooled.refusals is not None
    assert pooled.refusals[1] == 2


def test_points_on_different_behaviors_are_refused() -> None:
    with pytest.raises(HoldfastError, match="scored on different behaviors"):
        scored([point(scores(1, {}, [LOW])), point(scores(2, {}, [LOW], behaviors_sha256="y"))])


def lost(number: int, said: str = "first-order step 3: the loss is nan", **more: Any) -> Any:
    names = {"model": "m", "arm": "zo", "point": f"zo.{number}", "seed": 0, "values": {}}
    return names | {"diverged": said} | more


def test_a_point_that_diverged_is_never_chosen() -> None:
    files = [lost(1), scores(2, {}, [HIGH]), lost(3), scores(4, {}, [LOW])]
    points = scored(list(map(point, files)))["m"]
    assert [each.name for each in points] == [
        "zo.1",
        "zo.2",
        "zo.3",
        "zo.4",
    ]
    assert chosen("asr", *files) == "zo.4"
    assert chosen("gap", *files) == "zo.2"  # the same gaps, and it moved less
    assert choose(scored([point(lost(1)), point(lost(2))])["m"], "asr") is None


def test_a_point_that_diverged_under_one_seed_is_lost() -> None:
    files = [scores(1, {}, [LOW]), lost(1, "step 7", seed=1), lost(1, "step 9", seed=2)]
    files += [scores(2, {}, [HIGH], seed=seed) for seed in range(3)]
    assert chosen("asr", *files) == "zo.2"
    assert scored(list(map(point, files)))["m"][0].said == "seed 1: step 7; seed 2: step 9"  # type: ignore[union-attr]


def grid() -> list[dict[str, Any]]:
    places = [(0.001, 0.5), (0.001, 2.0), (0.01, 0.5), (0.01, 2.0)]
    outcomes = [[HIGH, HIGH], [HIGH, LOW], [LOW, LOW], [HIGH, HIGH]]
    return [
        scores(n, {"beta": beta, "learning_rate": rate}, found)
        for n, ((rate, beta), found) in enumerate(zip(places, outcomes, strict=True), start=1)
    ]


def make(
    folder: Path,
    used: dict[str, Any],
    *,
    meaningless: bool = False,
    files: list[dict[str, Any]] | None = None,
) -> str:
    files = files or grid()
    paths = [folder / f"{n}.json" for n in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        write_json(path, content)
    settings = SweepResult(title="Sweep of ZO", arm="zo", used=used, choose="asr")
    make_sweep(settings, LABELS, paths, str(folder / "zo"), meaningless)
    return (folder / "zo.txt").read_text()


def test_the_table_marks_what_is_chosen_and_what_is_used(tmp_path: Path) -> None:
    text = make(tmp_path, {"learning_rate": 0.001, "beta": 2.0})
    rows = [line.split() for line in text.splitlines() if line.startswith("zo.")]
    assert rows[0][:3] == ["zo.1", "0.001", "0.5"]
    assert rows[1][:4] == ["zo.2", "0.001", "2.0", "used"]
    assert rows[2][:4] == ["zo.3", "0.01", "0.5", "chosen"]
    assert "chosen, used" not in text
    assert "to use it, write arms: {zo: {learning_rate: 0.01, beta: 0.5}}." in text
    found = read_json(tmp_path / "zo.chosen.json")
    assert found["models"]["m"]["point"] == "zo.3"
    assert found["models"]["m"]["used"] is False
    lines = found["models"]["m"]["yaml"]
    assert yaml.safe_load(lines) == {"arms": {"zo": {"learning_rate": 0.01, "beta": 0.5}}}
    assert lines.index("learning_rate") < lines.index("beta")
    for suffix in ("md", "tex", "html", "svg", "png"):
        assert (tmp_path / f"zo.{suffix}").stat().st_size > 0
    assert "Noise &lt;1&gt;" in (tmp_path / "zo.html").read_text()


def test_the_table_says_that_the_chosen_point_is_the_one_used(tmp_path: Path) -> None:
    text = make(tmp_path, {"learning_rate": 0.01, "beta": 0.5})
    assert "chosen, used" in text
    assert "zo.3 is chosen, which the tables use." in text


def test_values_outside_the_grid_are_told(tmp_path: Path) -> None:
    text = " ".join(make(tmp_path, {"learning_rate": 0.02, "beta": 0.5}).split())
    assert "The tables use learning_rate 0.02, beta 0.5, which is not among the points" in text


def test_the_csv_has_every_points_values_and_intervals(tmp_path: Path) -> None:
    make(tmp_path, {"learning_rate": 0.01, "beta": 0.5})
    with (tmp_path / "zo.csv").open() as file:
        rows = list(csv.DictReader(file))
    third = [row for row in rows if row["arm"] == "zo.3"]
    assert {(row["learning_rate"], row["beta"]) for row in third} == {("0.01", "0.5")}
    asr = next(row for row in third if row["perturbation"] == "noise")
    assert (asr["metric"], asr["value"], asr["draws"]) == ("validation_asr", "0.100000", "2")
    gap = next(row for row in third if row["metric"] == "robustness_gap")
    half = 4.302652729749464 * 0.1 / math.sqrt(3)  # Student's t, 2 degrees of freedom, 97.5 %
    assert float(gap["ci_high"]) == pytest.approx(0.2 + half, abs=1e-6)
    assert float(gap["ci_low"]) == pytest.approx(0.2 - half, abs=1e-6)


def test_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, {"learning_rate": 0.01, "beta": 0.5})
    for suffix in ("csv", "md", "tex", "html", "txt", "svg", "png", "chosen.json"):
        first, second = (tmp_path / name / f"zo.{suffix}" for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_an_untrained_models_sweep_says_so(tmp_path: Path) -> None:
    assert "THESE NUMBERS MEAN NOTHING" in make(tmp_path, {"beta": 0.5}, meaningless=True)


def with_lost() -> list[dict[str, Any]]:
    """The grid with its best point, the third, diverged; a second model has lost all of them."""
    found = grid()
    found[2] = lost(3, values=found[2]["values"])
    return found + [lost(n, model="other", values=one["values"]) for n, one in enumerate(grid(), 1)]


def test_the_table_says_which_points_diverged_and_where(tmp_path: Path) -> None:
    text = make(tmp_path, {"learning_rate": 0.01, "beta": 0.5}, files=with_lost())
    rows = [line.split() for line in text.splitlines() if line.startswith("zo.")]
    assert rows[2] == ["zo.3", "0.01", "0.5", "diverged,", "used", *["–"] * (len(rows[2]) - 5)]
    assert [row[3] for row in rows[:4]].count("chosen") == 1
    plain = " ".join(text.split())
    said = "seed 0: first-order step 3: the loss is nan"
    assert f"m: zo.3 diverged, so it cannot be chosen ({said})." in plain
    assert "other: no point is chosen." in plain
    assert "not among the points" not in plain
    models = read_json(tmp_path / "zo.chosen.json")["models"]
    assert models["m"]["point"] == "zo.2"
    assert models["m"]["diverged"] == {"zo.3": said}
    assert models["other"]["point"] is None
    assert list(models["other"]["diverged"]) == ["zo.1", "zo.2", "zo.3", "zo.4"]
    with (tmp_path / "zo.csv").open() as file:
        found = [row for row in csv.DictReader(file) if row["arm"] == "zo.3"]
    assert [(row["model"], row["metric"]) for row in found] == [
        ("m", "diverged"),
        ("other", "diverged"),
    ]
    svg = (tmp_path / "zo.svg").read_text()
    assert "Not shown, since they diverged" in " ".join(svg.split())


def test_a_sweep_of_which_every_point_diverged_is_one_sentence(tmp_path: Path) -> None:
    files = [one for one in with_lost() if one["model"] == "other"]
    with pytest.raises(HoldfastError, match=r"every point diverged.*arms\.zo\.sweep.*step 3"):
        make(tmp_path, {"learning_rate": 0.01, "beta": 0.5}, files=files)
