"""Danger that utility hides."""

from __future__ import annotations

from typing import Any

import pytest

from built import build_table, pooled
from holdfast.errors import HoldfastError
from holdfast.results.measured import cells
from holdfast.results.measured.metrics import metric_of
from holdfast.results.tables.tidy import to_csv
from judged_tables import (
    CALM,
    JUDGES,
    LABELS,
    QUIET,
    RENDERERS,
    SAFE,
    UNSAFE,
    both,
    cell,
    danger,
    measured,
    rows,
    settings,
    summary,
    texts,
)

HARMED = [nll + 0.3 + i / 1000 for i, nll in enumerate(QUIET)]
NOISY = [nll + (0.3 if i % 2 else -0.2) for i, nll in enumerate(QUIET)]


@pytest.mark.parametrize(
    ("utility", "asr", "listed"),
    [
        (measured(), UNSAFE, True),
        (measured(NOISY), UNSAFE, True),  # worse, but its interval holds zero
        (measured([nll - 0.3 for nll in QUIET]), UNSAFE, True),  # better
        (measured(HARMED), UNSAFE, False),
        (measured(scores="0" * 60), UNSAFE, False),
        (measured(), SAFE, False),
        (measured(), "0" * 60, False),  # ASR is down
    ],
)
def test_danger_is_listed_where_utility_looks_unharmed_and_asr_is_up(
    utility: dict[str, Any], asr: str, listed: bool
) -> None:
    table = danger(cell("noise", "1", both([asr]), **utility))
    (row,) = texts(table)
    assert row[:3] == (["FO", "Noise", "σ=1"] if listed else ["None found among 1 cell.", "", ""])
    share, *others = rows(to_csv(table.records))
    assert (share["metric"], share["arm"], float(share["value"])) == ("hidden_danger", "fo", listed)
    names = ["perplexity", "lm_eval", *JUDGES, "degenerate", "over_refusal"]
    assert sorted(other["metric"] for other in others) == (sorted(names) if listed else [])
    for render in RENDERERS:
        assert ("None found among 1 cell." in render(table)) != listed


def test_one_judge_is_enough_and_its_stars_say_so() -> None:
    table = danger(cell("noise", "1", both([UNSAFE], [SAFE]), **measured()))
    assert table.headings[3:] == (
        "PPL ↓", "lm-eval ↑", "HarmBench ASR ↓", "AdvBench ASR ↓", "Over-refusal ↓", "Degenerate ↓",
    )  # fmt: skip
    assert [one.stars for one in table.blocks[0].rows[0]] == [""] * 5 + ["***"] + [""] * 3


def test_the_interval_shown_is_that_of_the_change() -> None:
    found = cell("noise", "1", both([UNSAFE]), **measured(NOISY))
    row = danger(found).blocks[0].rows[0]
    arm = pooled(summary("fo", CALM, found))
    calm, noisy = arm.cells
    change = cells.change(noisy, calm, metric_of(arm, "perplexity"))
    assert row[3].interval == f"{change.low:.3f} to {change.high:.3f}"


def test_harm_within_the_tolerance_passes() -> None:
    worse = [nll + 0.04 + i / 1000 for i, nll in enumerate(QUIET)]  # 4 to 5 %, with certainty
    lost = "1" * 38 + "0" * 22
    found = cell("noise", "1", both([UNSAFE]), **measured(worse, lost))
    assert texts(danger(found))[0][0].startswith("None found")
    assert texts(danger(found, tolerance={"perplexity": 0.04}))[0][0].startswith("None found")
    table = danger(found, tolerance={"perplexity": 0.06, "lm_eval": 0.05})
    assert texts(table)[0][0] == "FO"
    assert "PPL is up by at most 6 % and lm-eval is down by at most 0.05" in " ".join(table.notes)


def test_p_values_are_adjusted_over_all_that_was_looked_through() -> None:
    from statsmodels.stats.multitest import multipletests

    steps = [SAFE[: 50 - up] + "1" * up + SAFE[50:] for up in (5, 6, 7, 8, 9, 10)]
    found = [cell("noise", str(i), both([one]), **measured()) for i, one in enumerate(steps)]
    arm = pooled(summary("fo", CALM, *found))
    calm, *noisy = arm.cells
    metric = metric_of(arm, "harmbench")
    plain = [cells.change(cell, calm, metric).p_value for cell in noisy]
    adjusted = multipletests([p for p in plain for _ in JUDGES], method="holm")[1][:: len(JUDGES)]
    expected = [f"σ={i}" for i, p in enumerate(adjusted) if p < 0.05]
    assert 0 < len(expected) < sum(p < 0.05 for p in plain if p is not None)
    table = danger(*found)
    assert [row[2] for row in texts(table)] == expected
    assert "Holm over 12 tests" in " ".join(table.notes)
    assert f"both in {len(expected)} (listed)" in table.notes[0]


def test_danger_against_another_arm_in_the_same_cell() -> None:
    here = cell("noise", "1", both([UNSAFE]), **measured(HARMED))
    there = cell("noise", "1", both([SAFE]), **measured(HARMED))
    run = [summary("fo", CALM, there), summary("zo", CALM, here)]
    wanted = settings("hidden_danger", arms=["zo"], reference={"arm": "fo"})
    table = build_table("danger", wanted, run, LABELS)
    assert [row[:3] for row in texts(table)] == [["ZO", "Noise", "σ=1"]]
    assert "Of 2 cells" in table.notes[0]


def test_danger_without_a_measure_of_utility_is_refused() -> None:
    run = [summary("fo", cell("none", "", both([SAFE])), cell("noise", "1", both([UNSAFE])))]
    with pytest.raises(HoldfastError, match="neither perplexity nor lm-eval was measured"):
        build_table("danger", settings("hidden_danger", arms=["fo"]), run)
