"""Tables of judges' verdicts: agreement beyond chance, flips, and danger that utility hides."""

from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from holdfast.errors import HoldfastError
from holdfast.results import cells
from holdfast.results.flips import COLUMNS, Behaviors
from holdfast.results.grid import BANNER, Table
from holdfast.results.kappa import agreement, kappa
from holdfast.results.metrics import metric_of
from holdfast.results.render.html import to_html
from holdfast.results.render.latex import to_latex
from holdfast.results.render.markdown import to_markdown
from holdfast.results.render.terminal import terminal
from holdfast.results.settings import Labels, PerturbationLabel, TableSettings
from holdfast.results.tables import build_table, write_table
from holdfast.results.tidy import to_csv

JUDGES = {"harmbench": "HarmBench ASR", "refusal_prefix": "AdvBench ASR"}
RENDERERS = (to_html, to_latex, to_markdown, terminal)
LABELS = Labels(
    models={"m": "Model"},
    arms={"zo": "ZO", "fo": "FO"},
    perturbations={"noise": PerturbationLabel(label="Noise", symbol="σ")},
)
Outcomes = dict[str, list[str]]


def cell(perturbation: str, level: str, outcomes: Outcomes, **measured: Any) -> dict[str, Any]:
    draws = len(next(iter(outcomes.values())))
    size = len(next(iter(outcomes.values()))[0])
    others = {"degenerate": ["0" * size] * draws, "over_refusal": ["0" * 9] * draws}
    place = {"perturbation": perturbation, "level": level, "draws": draws, "noise_seeds": []}
    return {**place, "outcomes": outcomes | others, **measured}


def summary(arm: str, *found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    def metric(kind: str, label: str, better: str = "lower") -> dict[str, str]:
        return {"kind": kind, "better": better, "label": label}

    metrics = {name: metric("asr", label) for name, label in JUDGES.items()}
    metrics |= {"degenerate": metric("rate", "Degenerate")}
    metrics |= {"over_refusal": metric("rate", "Over-refusal")}
    if "perplexity" in found[0]:
        metrics["perplexity"] = metric("perplexity", "PPL")
    if "lm_eval" in found[0]:
        metrics["lm_eval"] = metric("accuracy", "lm-eval", "higher")
    size = len(found[0]["outcomes"]["harmbench"][0])
    base = {"model": "m", "arm": arm, "seed": 0, "behaviors": size, "behaviors_sha256": "s"}
    base |= {"meaningless": False, "metrics": metrics, "cells": list(found)}
    return {**base, **changes}


def settings(kind: str, **changes: Any) -> Any:
    return TypeAdapter(TableSettings).validate_python({"kind": kind, "title": "T", **changes})


def both(outcomes: list[str], other: list[str] | None = None) -> Outcomes:
    return {"harmbench": outcomes, "refusal_prefix": other or outcomes}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def texts(table: Table) -> list[list[str]]:
    return [[one.text for one in row] for block in table.blocks for row in block.rows]


# Kappa

TABLE = st.tuples(*[st.integers(0, 60)] * 4)


def verdicts(both: int, first: int, second: int, neither: int) -> tuple[Any, Any]:
    one = [1] * (both + first) + [0] * (second + neither)
    other = [1] * both + [0] * first + [1] * second + [0] * neither
    return np.array(one)[:, None], np.array(other)[:, None]


def shares(one: Any, other: Any) -> Any:
    parts = (one & other, one & (1 - other), other & (1 - one))
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


@given(TABLE)
def test_kappa_and_its_error_are_statsmodels(counts: tuple[int, int, int, int]) -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    one, other = verdicts(*counts)
    assume(0 < one.sum() + other.sum() < 2 * len(one))
    with np.errstate(invalid="ignore"):  # where the judges never differ
        oracle = cohens_kappa(np.array(counts).reshape(2, 2))
    found = kappa(shares(one, other), np.ones(len(one)))
    assert found is not None
    assert found[0] == pytest.approx(oracle.kappa, abs=1e-12)
    if oracle.var_kappa > 1e-12:
        assert found[1] == pytest.approx(math.sqrt(oracle.var_kappa), rel=1e-6)


def looks(seed: int, size: int = 200, draws: int = 6) -> tuple[Any, Any]:
    """Two judges' verdicts on looks at behaviors that differ in how often they succeed."""
    rng = np.random.default_rng(seed)
    one = (rng.random((size, draws)) < rng.beta(0.3, 0.9, (size, 1))).astype(np.int64)
    other = np.where(rng.random((size, draws)) < rng.beta(0.2, 1, (size, 1)), 1 - one, one)
    return one, other


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_clustered_looks_is_the_jackknifes(seed: int) -> None:
    table = shares(*looks(seed))
    size = len(table)
    found = kappa(table, np.ones(size))
    without = [kappa(np.delete(table, i, axis=0), np.ones(size - 1)) for i in range(size)]
    values = np.array([one[0] for one in without if one])
    jackknife = math.sqrt((size - 1) / size * ((values - values.mean()) ** 2).sum())
    assert found is not None
    assert found[1] == pytest.approx(jackknife, rel=0.03)


def test_looking_again_sharpens_nothing() -> None:
    one, other = looks(0)
    once, twice = agreement(one, other), agreement(np.hstack([one] * 2), np.hstack([other] * 2))
    assert once.kappa
    assert twice.kappa
    assert (twice.kappa.low, twice.kappa.high) == pytest.approx((once.kappa.low, once.kappa.high))


def test_the_interval_of_kappa_covers() -> None:
    big = agreement(*looks(0, size=200_000, draws=3)).kappa
    assert big
    found = [agreement(*looks(seed, size=100, draws=3)).kappa for seed in range(1, 301)]
    hits = [one.low <= big.value <= one.high for one in found if one]  # type: ignore[operator]
    assert len(hits) == 300
    assert 0.92 <= np.mean(hits) <= 0.99


def test_judges_that_never_differ_still_have_a_width() -> None:
    found = agreement(*verdicts(5, 0, 0, 45))
    assert found.kappa
    assert found.kappa.value == found.kappa.high == found.observed.value == 1
    assert found.kappa.low is not None
    assert found.kappa.low < 0.95


def test_kappa_is_undefined_where_all_verdicts_are_the_same() -> None:
    assert agreement(*verdicts(0, 0, 0, 9)).kappa is None
    constant = agreement(*verdicts(0, 3, 0, 9)).kappa
    assert constant
    assert constant.value == 0


def kappa_table(**changes: Any) -> Table:
    one = [
        cell("none", "", both(["0000"])),
        cell("noise", "1", both(["1100", "10?0"], ["1101"] * 2)),
    ]
    two = [cell("none", "", both(["0000"])), cell("noise", "2", both(["0011"], ["0?11"]))]
    run = [summary("fo", *one), summary("zo", *two, **changes)]
    return build_table("kappa", settings("judge_kappa", arms=["fo", "zo"]), run, LABELS)


def test_verdicts_are_pooled_over_levels_draws_and_arms() -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    table = kappa_table()
    assert [block.titles for block in table.blocks] == [("Model", "None"), ("Noise: σ=1, σ=2",)]
    # both 2+1+2, only AdvBench 1+2, neither 1+1+2; three of twelve pairs hold an unread verdict.
    value = cohens_kappa(np.array([[5, 0], [3, 4]])).kappa
    assert texts(table) == [
        ["HarmBench / AdvBench", "8", "1.0000", "–", "0.0000", "0.0000", "0.0000", "0.0000"],
        [
            "HarmBench / AdvBench", "12", "0.7500", f"{value:.4f}", "0.4167", "0.0000", "0.2500",
            f"{2 / 12:.4f}",
        ],
    ]  # fmt: skip
    assert "kappa is undefined" in table.notes[-1]
    assert "n: 4 behaviors" in " ".join(table.notes)
    found = {(row["perturbation"], row["metric"]): row for row in rows(to_csv(table.records))}
    assert ("none", "kappa_harmbench_refusal_prefix") not in found
    row = found["noise", "kappa_harmbench_refusal_prefix"]
    assert float(row["value"]) == pytest.approx(value, abs=1e-6)
    assert (row["arm"], row["n"], row["draws"], row["better"]) == ("fo+zo", "4", "3", "higher")


def test_kappa_of_other_behaviors_or_judges_is_refused() -> None:
    with pytest.raises(HoldfastError, match="tested on different behaviors"):
        kappa_table(behaviors_sha256="t")
    run = [summary("fo", cell("none", "", both(["01"])))]
    with pytest.raises(HoldfastError, match="table 'k': metric 'harmbnch' was not measured"):
        build_table("k", settings("judge_kappa", arms=["fo"], metrics=["harmbnch"]), run)


# Flips

HOSTILE = "=[x] *a* `b` | $y$ <script>alert(1)</script> \\input{z} & % # _ ~ ^ {} \x1b[31m \n end"


def behaviors(size: int, name: str = "b{}") -> Behaviors:
    return Behaviors([{"id": name.format(i), "category": f"c{i}"} for i in range(size)], "s")


def flips(fo: list[Any], zo: list[Any], size: int = 4, **changes: Any) -> Table:
    wanted = settings("flips", **{"arm": "zo", "reference": {"arm": "fo"}, **changes})
    run = [summary("fo", *fo), summary("zo", *zo)]
    return build_table("flips", wanted, run, LABELS, behaviors(size))


def test_flips_are_listed_by_cell_and_direction() -> None:
    fo = [cell("none", "", both(["0101"], ["0111"])), cell("noise", "1", both(["0000"]))]
    zo = [cell("none", "", both(["1001"], ["0001"])), cell("noise", "1", both(["000?"]))]
    table = flips(fo, zo)
    assert [block.titles for block in table.blocks] == [
        ("Model", "None: refused → complied (1)"),
        ("None: complied → refused (2)",),
    ]
    assert texts(table) == [
        ["b0", "c0", "0/1 → 1/1", "0/1 → 0/1"],
        ["b1", "c1", "1/1 → 0/1", "1/1 → 0/1"],
        ["b2", "c2", "0/1 → 0/1", "1/1 → 0/1"],
    ]
    bold = [[one.best for one in row] for block in table.blocks for row in block.rows]
    assert bold == [[False, False, True, False], [False, False, True, True], [False] * 3 + [True]]
    lines = rows(table.csv)
    assert tuple(lines[0]) == COLUMNS
    assert [(line["judge"], line["behavior"], line["direction"]) for line in lines] == [
        ("harmbench", "b0", "refused to complied"),
        ("harmbench", "b1", "complied to refused"),
        ("refusal_prefix", "b1", "complied to refused"),
        ("refusal_prefix", "b2", "complied to refused"),
    ]
    assert {line["reference"] for line in lines} == {"fo/none"}
    assert "HarmBench 1 refused → complied, 1 complied → refused" in table.notes[-1]


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        ("001", "011", "refused to complied"),
        ("111", "100", "complied to refused"),
        ("01", "11", ""),  # half of the draws is no verdict
        ("00", "01", ""),
        ("000", "001", ""),
        ("0", "110", "refused to complied"),  # other numbers of draws
    ],
)
def test_the_verdict_is_the_majority_of_the_draws(before: str, after: str, direction: str) -> None:
    fo = [cell("noise", "1", both(list(before)))]
    zo = [cell("noise", "1", both(list(after)))]
    lines = rows(flips(fo, zo, 1).csv)
    assert [line["direction"] for line in lines] == [direction] * (2 if direction else 0)
    for line in lines:
        assert (line["successes"], line["draws"]) == (str(after.count("1")), str(len(after)))
        assert line["reference_successes"] == str(before.count("1"))


@given(st.lists(st.tuples(*[st.sampled_from("01?")] * 2), min_size=1, max_size=30))
def test_flips_of_one_draw_are_the_discordant_pairs(pairs: list[tuple[str, str]]) -> None:
    fo, zo = ([cell("none", "", both(["".join(side)]))] for side in zip(*pairs, strict=True))
    found = [line["direction"] for line in rows(flips(fo, zo, len(pairs)).csv)]
    up = sum(a != "1" and b == "1" for a, b in pairs)
    down = sum(a == "1" and b != "1" for a, b in pairs)
    assert found.count("refused to complied") == 2 * up
    assert found.count("complied to refused") == 2 * down


def test_an_arm_is_compared_with_itself_unperturbed() -> None:
    fo = [cell("none", "", both(["0011"])), cell("noise", "1", both(["1011"] * 3))]
    reference = {"arm": "fo", "perturbation": "none"}
    table = flips(fo, fo, arm="fo", reference=reference)
    assert texts(table) == [["b0", "c0", "0/1 → 3/3", "0/1 → 3/3"]]
    assert "Model, 1 cell:" in table.notes[-1]  # the unperturbed cell is not among them
    assert "FO, unperturbed" in table.notes[0]


def test_the_firmest_flips_are_shown_and_the_csv_has_all() -> None:
    before = cell("noise", "1", both(["0000"] * 3, ["0000"] * 3))
    after = cell("noise", "1", both(["1101", "1100", "0100"], ["0101", "0101", "0100"]))
    table = flips([before], [after], limit=2)
    assert [row[0] for row in texts(table)] == ["b0", "b1"]  # b3 is no firmer than b0
    assert table.blocks[0].title == "Noise σ=1: refused → complied (2 of 3)"
    assert "2 rows are shown" in table.notes[-1]
    assert "1 more are in the CSV (setting `limit`)" in table.notes[-1]
    assert {line["behavior"] for line in rows(table.csv)} == {"b0", "b1", "b3"}
    every = flips([before], [after], limit=None)
    assert len(texts(every)) == 3
    assert "more" not in every.notes[-1]


def test_no_flips_are_said_plainly() -> None:
    table = flips([cell("none", "", both(["01"]))], [cell("none", "", both(["01"]))], 2)
    assert texts(table) == [["No verdict flips in 1 cell.", "", "", ""]]
    assert rows(table.csv) == []
    assert all("No verdict flips in 1 cell." in render(table) for render in RENDERERS)


def test_hostile_behaviors_stay_text(tmp_path: Path) -> None:
    run = [
        summary("fo", cell("none", "", both(["0"]))),
        summary("zo", cell("none", "", both(["1"]))),
    ]
    named = Behaviors([{"id": HOSTILE, "category": "=cmd|' /C calc'!A0"}], "s")
    wanted = settings("flips", arm="zo", reference={"arm": "fo"})
    table = write_table("flips", wanted, run, tmp_path / "flips", LABELS, named)
    assert "<script" not in to_html(table) + to_markdown(table)
    assert "\\input" not in to_latex(table)
    assert all("\x1b" not in render(table) for render in RENDERERS)
    line = rows((tmp_path / "flips.csv").read_text())[0]
    assert line["behavior"].startswith("'=[x]")
    assert line["category"].startswith("'=cmd")
    long = Behaviors([{"id": "x" * 500, "category": ""}], "s")
    shown = build_table("flips", wanted, run, LABELS, long)
    assert max(map(len, terminal(shown).splitlines())) <= 120
    assert rows(shown.csv)[0]["behavior"] == "x" * 500
    assert rows(shown.csv)[0]["category"] == "NA"


def test_flips_of_other_behaviors_are_refused() -> None:
    run = [
        summary("fo", cell("none", "", both(["0"]))),
        summary("zo", cell("none", "", both(["1"]))),
    ]
    wanted = settings("flips", arm="zo", reference={"arm": "fo"})
    with pytest.raises(HoldfastError, match="table 'f': m/zo was tested on other behaviors"):
        build_table("f", wanted, run, LABELS, Behaviors([{"id": "a", "category": ""}], "t"))


# Hidden danger

QUIET = [2 + i / 50 for i in range(12)]


def measured(nll: list[float] = QUIET, scores: str = "1" * 40 + "0" * 20) -> dict[str, Any]:
    perplexity = [{"nll": nll, "tokens": [64] * len(nll)}]
    return {"perplexity": perplexity, "lm_eval": {"facts": {"scores": [scores]}}}


SAFE, UNSAFE = "0" * 50 + "1" * 10, "1" * 40 + "0" * 20
CALM = cell("none", "", both([SAFE]), **measured())
HARMED = [nll + 0.3 + i / 1000 for i, nll in enumerate(QUIET)]
NOISY = [nll + (0.3 if i % 2 else -0.2) for i, nll in enumerate(QUIET)]


def danger(*found: dict[str, Any], **changes: Any) -> Table:
    run = [summary("fo", CALM, *found)]
    wanted = settings("hidden_danger", **{"arms": ["fo"], **changes})
    return build_table("danger", wanted, run, LABELS)


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
    metric = metric_of(summary("fo", CALM), "perplexity")
    change = cells.change(found, CALM, metric)
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
    metric = metric_of(summary("fo", CALM), "harmbench")
    plain = [cells.change(one, CALM, metric).p_value for one in found]
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


def test_degenerate_completions_are_a_column_where_they_are_asked_for() -> None:
    found = cell("noise", "1", both(["0011"]))
    found["outcomes"]["degenerate"] = ["0111"]
    wanted = settings("robustness", metrics=["harmbench", "degenerate"], sections=[{"arm": "fo"}])
    table = build_table("t", wanted, [summary("fo", found)], LABELS)
    assert table.headings[2:] == ("HarmBench ASR ↓", "Degenerate ↓", "Over-refusal ↓")
    assert [one.text for one in table.blocks[0].rows[0]][2:4] == ["0.5000", "0.7500"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "judge_kappa", "arms": ["fo", "zo"]},
        {"kind": "flips", "arm": "zo", "reference": {"arm": "fo"}},
        {"kind": "hidden_danger", "arms": ["zo"]},
    ],
)
def test_numbers_that_mean_nothing_are_said_to(wanted: dict[str, Any]) -> None:
    found = [
        cell("none", "", both(["01"]), **measured()),
        cell("noise", "1", both(["11"]), **measured()),
    ]
    for meaningless in (False, True):
        run = [summary("fo", *found), summary("zo", *found, meaningless=meaningless)]
        table = build_table("t", settings(**wanted), run, LABELS, behaviors(2))
        assert table.banner == (BANNER if meaningless else "")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_sets_the_tables_within_the_line(tmp_path: Path) -> None:
    packages = r"\usepackage{booktabs,graphicx}\usepackage[T1]{fontenc}"
    found = cell("noise", "1", both([UNSAFE]), **measured())
    hostile = Behaviors([{"id": HOSTILE, "category": HOSTILE}], "s")
    run = [
        summary("fo", cell("none", "", both(["0"]))),
        summary("zo", cell("none", "", both(["1"]))),
    ]
    wanted = settings("flips", arm="zo", reference={"arm": "fo"})
    tables = [kappa_table(), danger(found), danger(cell("noise", "1", both([SAFE]), **measured()))]
    tables += [build_table("flips", wanted, run, LABELS, hostile)]
    body = "".join(map(to_latex, tables))
    page = rf"\documentclass{{article}}{packages}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"Overfull" not in done.stdout
