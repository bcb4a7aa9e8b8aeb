"""The gap table and figure: what they print, against scipy, and what they refuse."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats

from built import build_table, write_figure, write_table
from holdfast.errors import HoldfastError
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from holdfast.settings.figures import FigureSettings
from holdfast.settings.tables import TableSettings
from small_tables import records

RHO = [0.01, 0.03]
GAP = "robustness_gap"
STEP = {
    "learning_rate": 0.01,
    "size": 0.005,
    "directions": 64,
    "trace": 1280.0,
    "standard_error": 90.0,
}


def gap(arm: str, factor: float = 1.0, seed: int = 0, **changes: Any) -> Any:
    """Losses of f = 2 + 600 rho^2 with noise that arms share, times ``factor``."""
    rng = random.Random(f"draws {seed}")  # noqa: S311
    own = random.Random(f"{arm} {seed}")  # noqa: S311
    plus, minus = [], []
    for rho in RHO:
        slopes = [rng.gauss(0, 1) for _ in range(12)]
        bends = [factor * rng.gauss(600, 40) + own.gauss(0, 4) for _ in range(12)]
        plus.append([2 + s * rho + b * rho**2 for s, b in zip(slopes, bends, strict=True)])
        minus.append([2 - s * rho + b * rho**2 for s, b in zip(slopes, bends, strict=True)])
    gradient = {"square": 0.09, "smoothed": [[0.25, 0.02], [-0.01, None]]}
    made = {"model": "m", "arm": arm, "seed": seed, "samples": 64, "data_sha256": "s"}
    made |= {"weights": f"weights of {arm}"}
    made |= {"rho": RHO, "loss": 2.0, "plus": plus, "minus": minus, "gradient": gradient}
    return made | {"step": None} | changes


RUN = [
    gap("fo"),
    gap("zo", 0.8, step=STEP),
    gap("same", 1.0, step=STEP),
    gap("bad", 1.3, step=STEP),
]


def table_settings(**changes: Any) -> Any:
    base = {"kind": "gap", "title": "Gap", "arms": ["fo", "zo", "same", "bad"]}
    base["references"] = {"zo": "fo", "same": "fo", "bad": "fo"}
    return TypeAdapter(TableSettings).validate_python(base | changes)


def values(one: Any, size: int) -> Any:
    return (np.array(one["plus"][size]) + one["minus"][size]) / 2 - one["loss"]


def test_gaps_and_changes_are_scipys() -> None:
    found = {
        (row["arm"], row["metric"], row["level"]): row
        for row in records(build_table("t", table_settings(), RUN))
    }
    for one in RUN:
        for size, rho in enumerate(RHO):
            gaps, row = values(one, size), found[one["arm"], "robustness_gap", f"{rho:g}"]
            low, high = stats.t.interval(0.95, 11, gaps.mean(), stats.sem(gaps))
            expected = (gaps.mean(), low, high)
            for column, number in zip(("value", "ci_low", "ci_high"), expected, strict=True):
                assert float(row[column]) == pytest.approx(number, abs=2e-6)
            trace = found[one["arm"], "hessian_trace", f"{rho:g}"]
            assert float(trace["value"]) == pytest.approx(2 * gaps.mean() / rho**2, rel=1e-5)
            if one["arm"] != "fo":
                test = stats.ttest_rel(gaps, values(RUN[0], size))
                assert float(row["p_value"]) == pytest.approx(test.pvalue, rel=1e-4)
                assert row["reference"] == "fo"
    assert float(found["fo", "squared_gradient", "0"]["value"]) == 0.09
    assert float(found["zo", "step_ratio", "0"]["value"]) == 0.1


def test_the_theorem_is_judged_by_the_interval_of_the_change() -> None:
    table = build_table("t", table_settings(), RUN)
    told = [[row[-1].text for row in block.rows] for block in table.blocks]
    assert told == [
        ["–", "–", "–"],
        ["–", "supported", "supported"],
        ["–", "cannot tell", "cannot tell"],
        ["–", "contradicted", "contradicted"],
    ]
    assert [row[2].stars for row in table.blocks[1].rows] == ["", "***", "***"]
    (note,) = [note for note in table.notes if "Theorem 4.4" in note]
    assert "(|∇f| of fo: 0.3)" in note
    (note,) = [note for note in table.notes if note.startswith("zo:")]
    assert "0.1 times q / tr H = 0.05" in note
    assert "over the 9 comparisons" not in " ".join(table.notes)
    assert "over the 6 comparisons" in " ".join(table.notes)


def test_what_is_printed() -> None:
    text = to_markdown(build_table("t", table_settings(), RUN))
    assert "THESE NUMBERS MEAN NOTHING" not in text
    assert "SE 0.02" in text
    assert "-0.01" in text
    told = terminal(build_table("t", table_settings(), RUN, meaningless=True))
    assert "THESE NUMBERS MEAN NOTHING" in told
    assert "fo" in told


def test_a_seed_counts_once_by_its_mean() -> None:
    run = [
        gap(arm, factor, seed) for arm, factor in (("fo", 1.0), ("zo", 0.8)) for seed in range(4)
    ]
    settings = table_settings(arms=["fo", "zo"], references={"zo": "fo"})
    table = build_table("t", settings, run)
    rows = [row for row in records(table) if row["metric"] == "robustness_gap"]
    for row in rows:
        size = RHO.index(float(row["level"]))
        means = [values(one, size).mean() for one in run if one["arm"] == row["arm"]]
        low, high = stats.t.interval(0.95, 3, np.mean(means), stats.sem(means))
        assert (row["n"], row["draws"]) == ("4", "48")
        assert float(row["ci_low"]) == pytest.approx(low, abs=2e-6)
        assert float(row["ci_high"]) == pytest.approx(high, abs=2e-6)
    assert any("over 4 training seeds, each by its mean" in note for note in table.notes)


def test_gradients_that_were_not_measured_are_left_out() -> None:
    run = [one | {"gradient": None} for one in RUN]
    table = build_table("t", table_settings(), run)
    assert {row[3].text for block in table.blocks for row in block.rows} == {"–"}
    assert "|∇f| of fo: not measured" in " ".join(table.notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rho": [0.01, 0.04]}, "other rho"),
        ({"data_sha256": "t"}, "other safety pairs"),
        ({"plus": [[1.0, 2.0]] * 2, "minus": [[1.0, 2.0]] * 2}, "other draws"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(changes: Any, said: str) -> None:
    with pytest.raises(HoldfastError, match=f"table 't': .*{said}.*delete the older"):
        build_table("t", table_settings(), [gap("fo"), gap("zo") | changes, *RUN[2:]])


def test_a_missing_arm_is_named() -> None:
    with pytest.raises(HoldfastError, match=r"gap\.json of model 'm', arm 'zo' is missing"):
        build_table("t", table_settings(), [gap("fo")])


def test_files_and_figure_have_the_same_bytes_every_time(tmp_path: Path) -> None:
    settings = TypeAdapter(FigureSettings).validate_python(
        {"kind": "gap_curve", "title": "Gap", "arms": ["fo", "zo", "bad"], "labels": {"zo": "Z"}}
    )
    for name in ("one", "two"):
        write_table("t", table_settings(), RUN, tmp_path / name)
        write_figure("f", settings, RUN, tmp_path / name)
    for suffix in (".csv", ".md", ".tex", ".html", ".svg", ".png"):
        first = (tmp_path / "one").with_suffix(suffix).read_bytes()
        assert first == (tmp_path / "two").with_suffix(suffix).read_bytes()
    with pytest.raises(HoldfastError, match=r"figure 'f': .*arm 'bad' is missing"):
        write_figure("f", settings, RUN[:2], tmp_path / "three")


def test_gaps_of_two_arms_that_are_one_are_not_compared() -> None:
    zo = gap("zo", 0.8, step=STEP)
    run = [gap("fo"), zo, {**zo, "arm": "twin"}]
    settings = table_settings(arms=["fo", "zo", "twin"], references={"zo": "fo", "twin": "zo"})
    table = build_table("t", settings, run)
    assert [row[-1].text for row in table.blocks[2].rows] == ["–", "same arm", "same arm"]
    assert [row[2].amount for row in table.blocks[2].rows] == ["", "=", "="]
    assert "twin is the same arm as zo: the weights are equal." in table.notes
    assert "over the 2 comparisons" in " ".join(table.notes)
    mine = [row for row in records(table) if (row["arm"], row["metric"]) == ("twin", GAP)]
    assert {(row["reference"], row["delta"], row["p_value"]) for row in mine} == {
        ("zo", "NA", "NA")
    }
    others = build_table("t", settings, [*run[:2], {**run[2], "weights": "others"}])
    assert [row[-1].text for row in others.blocks[2].rows] == ["–", "cannot tell", "cannot tell"]
    assert "over the 4 comparisons" in " ".join(others.notes)
    assert not any("same arm" in note for note in others.notes)


def test_a_gap_of_two_names_is_tested_once() -> None:
    zo = gap("zo", 0.8, step=STEP)
    settings = table_settings(arms=["fo", "zo", "twin"], references={"zo": "fo", "twin": "fo"})
    table = build_table("t", settings, [gap("fo"), zo, {**zo, "arm": "twin"}])
    assert "over the 2 comparisons" in " ".join(table.notes)
    stars = [[row[2].stars for row in block.rows] for block in table.blocks[1:]]
    assert stars == [["", "***", "***"]] * 2
