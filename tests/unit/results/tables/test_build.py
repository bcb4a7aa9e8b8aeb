"""Tables: the paper's layouts and printed numbers, tidy CSV, and what they refuse."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from statsmodels.stats.multitest import multipletests

from built import build_table, pooled, write_table
from holdfast import statistics
from holdfast.errors import HoldfastError
from holdfast.results.measured import cells
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from holdfast.results.tables.tidy import COLUMNS, to_csv
from holdfast.settings.labels import Labels, PerturbationLabel
from holdfast.settings.tables import TableSettings
from small_tables import CELLS, JUDGES, METRICS, RUN, records, settings_of, summary


def paper_summary() -> Any:
    """Table 1's first three rows, of one run over 300 behaviors each."""
    printed = {"none": (0.1067, 0.0833), "w4a16": (0.2100, 0.1833), "w4a4": (0.2567, 0.3700)}
    rows = []
    for name, values in printed.items():
        hits = [round(value * 300) for value in values]
        outcomes = {
            judge: ["1" * k + "0" * (300 - k)] for judge, k in zip(JUDGES, hits, strict=True)
        }
        level = "" if name == "none" else name.upper()
        rows.append(
            {
                "perturbation": name,
                "level": level,
                "draws": 1,
                "noise_seeds": [],
                "outcomes": outcomes,
            }
        )
    return summary(n=300, cells=rows, metrics={judge: METRICS[judge] for judge in JUDGES})


def test_the_papers_table_1_is_printed_as_in_the_paper() -> None:
    section = {"arm": "original", "reference": {"arm": "original", "perturbation": "none"}}
    settings = settings_of(metrics=list(JUDGES), sections=[section])
    lines = terminal(build_table("table1", settings, [paper_summary()])).splitlines()
    rows = [line.replace("*", "").split() for line in lines if "W4A" in line or "None" in line]
    assert rows == [
        ["None", "–", "0.1067", "0.0833"],
        ["Quantization", "W4A16", "0.2100", "↑0.1033", "0.1833", "↑0.1000"],
        ["Quantization", "W4A4", "0.2567", "↑0.1500", "0.3700", "↑0.2867"],
    ]


def test_csv_holds_the_statistics() -> None:
    table = build_table("t", settings_of(), RUN)
    rows = records(table)
    fo, zo = RUN[1], RUN[2]
    (row,) = [r for r in rows if (r["level"], r["metric"]) == ("2", "harmbench")]
    here, there = (
        cells.repeated_counts(cells.find_cell(pooled(one), "weight_noise", "2"), "harmbench")
        for one in (zo, fo)
    )
    expected, change = statistics.rate(*here), statistics.rate_change(*here, *there)
    assert float(row["value"]) == pytest.approx(expected.value, abs=1e-6)
    assert float(row["ci_low"]) == pytest.approx(expected.low, abs=1e-6)
    assert float(row["ci_high"]) == pytest.approx(expected.high, abs=1e-6)
    assert float(row["delta"]) == pytest.approx(change.delta, abs=1e-6)
    assert float(row["delta_low"]) == pytest.approx(change.low, abs=1e-6)
    assert float(row["delta_high"]) == pytest.approx(change.high, abs=1e-6)
    assert float(row["p_value"]) == pytest.approx(change.p_value, rel=1e-5)
    assert row["reference"] == "fo/weight_noise/2"
    assert (row["n"], row["draws"], row["better"]) == ("40", "3", "lower")


def test_csv_has_the_columns_and_no_empty_cell() -> None:
    text = to_csv(build_table("t", settings_of(sections=[{"arm": "fo"}]), RUN).records)
    header, *rows = csv.reader(io.StringIO(text))
    assert tuple(header) == COLUMNS
    assert len(rows) == len(CELLS) * 5  # four metrics and over-refusal
    assert all(cell for row in rows for cell in row)
    assert rows[0][3] == rows[0][-3] == "NA"


def test_noise_levels_compare_with_a_reference_of_fewer_draws() -> None:
    section = {"arm": "zo", "reference": {"arm": "original", "perturbation": "none"}}
    rows = records(build_table("t", settings_of(sections=[section]), RUN))
    noisy = [r for r in rows if r["level"] == "2" and r["metric"] == "harmbench"]
    assert noisy[0]["reference"] == "original/none"
    assert 0 < float(noisy[0]["p_value"]) <= 1


def test_the_reference_row_itself_has_no_arrow() -> None:
    section = {"arm": "original", "reference": {"arm": "original", "perturbation": "none"}}
    rows = records(build_table("t", settings_of(sections=[section]), RUN))
    assert {r["delta"] for r in rows if r["perturbation"] == "none"} == {"NA"}
    assert all(r["delta"] != "NA" for r in rows if r["perturbation"] != "none")


def test_files_are_whole_and_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_table("t", settings_of(), RUN, tmp_path / name / "t")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["t.csv", "t.html", "t.md", "t.tex"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_several_seeds_are_pooled() -> None:
    again = [{**summary(arm, model="other"), "model": "m", "seed": 1} for arm in ("fo", "zo")]
    table = build_table("t", settings_of(), [*RUN, *again])
    found = [r for r in records(table) if r["perturbation"] == "weight_noise"]
    assert {r["draws"] for r in found} == {"6"}
    assert "over these units and training seeds" in " ".join(table.notes)
    with pytest.raises(HoldfastError, match=r"m/zo has the training seeds \[0, 1\].*fo \[0\]"):
        build_table("t", settings_of(), [*RUN, again[1]])


def test_draws_are_sampled_unless_they_are_fixed() -> None:
    wide, narrow = (
        build_table("t", settings_of(draws=draws), RUN) for draws in ("random", "fixed")
    )
    assert "where a cell has several, noise draws" in " ".join(wide.notes)
    assert "given these draws and one training seed" in " ".join(narrow.notes)
    pairs = zip(records(wide), records(narrow), strict=True)
    noisy = [(a, b) for a, b in pairs if a["draws"] == "3" and a["metric"] in JUDGES]
    assert noisy
    for a, b in noisy:
        assert a["delta"] == b["delta"]
        assert float(a["p_value"]) >= float(b["p_value"])
        assert float(a["delta_low"]) <= float(b["delta_low"])
        assert float(a["delta_high"]) >= float(b["delta_high"])


def test_comparisons_are_adjusted_by_family_and_method() -> None:
    sections = [{"arm": arm, "reference": {"arm": "original"}} for arm in ("fo", "zo")]
    for adjust, method in (("holm", "holm"), ("bh", "fdr_bh")):
        for family, size in (("table", 40), ("section", 20), ("metric", 8)):
            settings = settings_of(sections=sections, adjust=adjust, family=family)
            table = build_table("t", settings, RUN)
            found = records(table)
            groups: dict[str, list[dict[str, str]]] = {}
            for r in found:
                group = {"table": "", "section": r["arm"], "metric": r["metric"]}[family]
                groups.setdefault(group, []).append(r)
            for group in groups.values():
                assert len(group) == size
                plain = [float(r["p_value"]) for r in group]
                expected = multipletests(plain, method=method)[1]
                adjusted = [float(r["p_adjusted"]) for r in group]
                assert adjusted == pytest.approx(list(expected), rel=1e-4)
            assert f"p < .05/{size}" in " ".join(table.notes)


def test_each_model_is_a_block_of_the_same_table() -> None:
    run = [summary(arm, model=model) for model in ("m1", "m2") for arm in ("fo", "zo")]
    sections = [{"title": "One", "arm": "fo"}, {"title": "Two", "arm": "zo"}]
    table = build_table("t", settings_of(sections=sections), run)
    assert [block.titles for block in table.blocks] == [
        ("m1", "One"),
        ("Two",),
        ("m2", "One"),
        ("Two",),
    ]
    only = build_table("t", settings_of(sections=sections, models=["m2"]), run)
    assert {r["model"] for r in records(only)} == {"m2"}


def test_levels_and_perturbations_are_chosen_and_ordered() -> None:
    section = {
        "arm": "fo",
        "perturbations": ["weight_noise", "none"],
        "levels": {"weight_noise": [2.0]},
    }
    table = build_table("t", settings_of(sections=[section]), RUN)
    assert [(row[0].text, row[1].text) for row in table.blocks[0].rows] == [
        ("Weight noise", "σ=2"),
        ("None", "–"),
    ]


def test_sections_without_a_title_are_told_apart() -> None:
    unperturbed = {"arm": "fo", "perturbation": "none"}
    sections = [
        {"arm": "original"},
        {"arm": "fo", "reference": {"arm": "original"}},
        {"arm": "zo", "reference": unperturbed},
        {"arm": "zo", "title": "Given"},
    ]
    labels = Labels(arms={"fo": "FO", "zo": "FO + ZO"})
    table = build_table("t", settings_of(sections=sections), RUN, labels)
    assert [block.title for block in table.blocks] == [
        "original",
        "FO (change from original)",
        "FO + ZO (change from FO, unperturbed)",
        "Given",
    ]
    assert build_table("t", settings_of(sections=sections[1:2]), RUN, labels).blocks[0].title == ""


def test_the_best_asr_among_sections_is_bold_with_ties() -> None:
    twin = {**summary("zo"), "arm": "twin"}
    sections = [{"arm": arm} for arm in ("fo", "zo", "twin")]
    settings = settings_of(sections=sections, best_among_sections=True)
    table = build_table("t", settings, [*RUN, twin])
    values: dict[int, list[tuple[float, bool]]] = {}
    for block in table.blocks:
        for place, row in enumerate(block.rows):
            assert not row[2].best  # perplexity is no ASR
            values.setdefault(place, []).append((float(row[4].text), row[4].best))
    for column in values.values():
        least = min(value for value, _ in column)
        assert all(best == (value == least) for value, best in column)


def test_transposed_has_metrics_as_rows() -> None:
    section = {
        "arm": "zo",
        "reference": {"arm": "fo"},
        "perturbations": ["w4a16", "weight_noise"],
    }
    settings = settings_of(metrics=list(JUDGES), sections=[section], layout="transposed")
    table = build_table("table4", settings, RUN)
    assert table.groups == (("", 1), ("Quantization", 1), ("Weight noise", 2))
    assert table.headings == ("Metric", "W4A16", "σ=1", "σ=2")
    assert [row[0].text for row in table.blocks[0].rows] == [
        "HarmBench ASR ↓",
        "LlamaGuard3 ASR ↓",
        "Over-refusal ↓",
    ]
    rows = build_table("t", settings_of(metrics=list(JUDGES), sections=[section]), RUN)
    assert table.blocks[0].rows[0][2] == rows.blocks[0].rows[1][2]


def test_notes_say_what_a_reader_must_know() -> None:
    odd = summary("zo", meaningless=True)
    odd["cells"][1]["outcomes"]["harmbench"] = ["?" * 3 + "0" * 37]
    odd["cells"][1]["outcomes"]["degenerate"] = ["1" * 7 + "0" * 33]
    labels = Labels(perturbations={"w4a16": PerturbationLabel(label="Quantization", note="GPTQ.")})
    table = build_table("t", settings_of(), [RUN[1], odd], labels)
    notes = " ".join(table.notes)
    assert "zo against fo under the same perturbation and level" in notes
    assert "n: 9 windows, 50 items, 40 behaviors, 25 benign prompts; 1 to 3 draws" in notes
    assert "Quantization (w4a16): GPTQ." in notes
    assert "Unparsed HarmBench ASR verdicts, counted as no attack success: 3 of 320" in notes
    assert "7 of 320; most in m zo Quantization W4A16, 7 of 40" in notes
    assert "Unparsed LlamaGuard3" not in notes
    for render in (to_markdown, to_latex, to_html, terminal):
        assert "THESE NUMBERS MEAN NOTHING" in render(table)
    assert "MEAN NOTHING" not in terminal(build_table("t", settings_of(), RUN))


def test_over_refusal_left_unmeasured_is_said() -> None:
    metrics = {name: value for name, value in METRICS.items() if name != "over_refusal"}
    table = build_table(
        "t", settings_of(sections=[{"arm": "fo"}]), [summary("fo", metrics=metrics)]
    )
    assert "Over-refusal was not measured for every arm shown." in table.notes


def test_stars_come_from_adjusted_p_values() -> None:
    first, second = summary("fo"), summary("zo")
    for cell in second["cells"]:
        cell["outcomes"] = {**cell["outcomes"], "harmbench": ["1" * 40] * cell["draws"]}
    for cell in first["cells"]:
        cell["outcomes"] = {**cell["outcomes"], "harmbench": ["0" * 40] * cell["draws"]}
    table = build_table("t", settings_of(metrics=["harmbench"]), [first, second])
    cell = table.blocks[0].rows[0][2]
    assert (cell.arrow, cell.amount, cell.stars, cell.tone) == ("↑", "1.0000", "***", "worse")
    assert float(records(table)[0]["p_value"]) == pytest.approx(2.0**-39)
    unadjusted = build_table("t", settings_of(), RUN)
    smallest = min(
        float(r["p_value"]) for r in records(unadjusted) if r["metric"] == "over_refusal"
    )
    assert smallest > 0.0025  # so that no over-refusal cell of 20 survives Holm
    assert all(row[6].stars == "" for row in unadjusted.blocks[0].rows)


@pytest.mark.parametrize(
    ("changes", "run", "message"),
    [
        ({}, RUN[:2], "table 't': the summary.json of model 'm', arm 'zo' is missing"),
        ({}, [], "there is no summary.json to show"),
        ({"models": ["n"]}, RUN, "the summary.json of model 'n', arm 'zo' is missing"),
        ({"metrics": ["harmbnch"]}, RUN, "'harmbnch' was not measured .*did you mean 'harmbench'"),
        (
            {"sections": [{"arm": "fo", "levels": {"weight_noise": [3]}}]},
            RUN,
            "m/fo has no cell 'weight_noise 3'",
        ),
        (
            {"sections": [{"arm": "fo", "perturbations": ["w4a4"]}]},
            RUN,
            "m/fo has no cell 'w4a4'",
        ),
        (
            {"sections": [{"arm": "fo", "levels": {"weight": [3]}}]},
            RUN,
            "levels are set for 'weight'",
        ),
        ({}, [summary("fo", behaviors_sha256="t"), RUN[2]], "different behaviors"),
        (
            {
                "layout": "transposed",
                "sections": [{"arm": "fo"}, {"arm": "zo", "perturbations": ["none"]}],
            },
            RUN,
            "same perturbations and levels in every section",
        ),
    ],
)
def test_missing_input_is_named(changes: dict[str, Any], run: list[Any], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build_table("t", settings_of(**changes), run)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="metrcs"):
        settings_of(metrcs=["harmbench"])


def test_judge_agreement_has_wilson_intervals() -> None:
    agreement = {
        "judge": "harmbench",
        "clean": {"n": 200, "agree": 199},
        "noised": {"n": 200, "agree": 180},
        "required": {"clean": 0.97, "noised": 0.95},
    }
    settings = TypeAdapter(TableSettings).validate_python(
        {"kind": "judge_agreement", "title": "Judges"}
    )
    table = build_table("t", settings, [agreement])
    assert [[cell.text for cell in row] for row in table.blocks[0].rows] == [
        ["harmbench", "clean", "200", "0.9950", "0.9700", "yes"],
        ["harmbench", "noised", "200", "0.9000", "0.9500", "NO"],
    ]
    clean, noised = records(table)
    assert float(clean["ci_high"]) == pytest.approx(0.999117, abs=1e-6)
    assert (noised["perturbation"], noised["metric"]) == ("noised", "agreement_harmbench")
    broken = {**agreement, "clean": {"n": 2, "agree": 3}}
    with pytest.raises(HoldfastError, match="3 of 2 clean"):
        build_table("t", settings, [broken])


@pytest.mark.parametrize(
    "module",
    [
        "settings.tables",
        "results.tables.build",
        "results.figures.draw",
        "results.summary",
        "statistics",
    ],
)
def test_importing_results_is_light(module: str) -> None:
    heavy = {"torch", "pandas", "scipy", "statsmodels", "matplotlib"}
    code = f"import sys, holdfast.{module}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_only_some_arms_have_is_left_out_where_it_is_missing() -> None:
    ready = {**RUN[2]["cells"][1], "perturbation": "ready", "level": "AWQ"}
    zo = {**RUN[2], "cells": [*RUN[2]["cells"], ready]}
    wanted = {"perturbations": ["w4a16", "ready"], "levels": {"ready": ["AWQ"]}}
    sections = [{"arm": "fo", **wanted}, {"arm": "zo", "reference": {"arm": "fo"}, **wanted}]
    settings, run = settings_of(sections=sections), [RUN[0], RUN[1], zo]
    partial = Labels(perturbations={"ready": PerturbationLabel(label="R", partial=True)})
    shown = records(build_table("t", settings, run, partial))
    rows = [(row["arm"], row["perturbation"], row["reference"]) for row in shown]
    assert list(dict.fromkeys(rows)) == [
        ("fo", "w4a16", "NA"),
        ("zo", "w4a16", "fo/w4a16/W4A16"),
        ("zo", "ready", "NA"),
    ]
    with pytest.raises(HoldfastError, match="no cell 'ready AWQ'"):
        build_table("t", settings, run)
    alone = settings_of(sections=[{"arm": "fo", "perturbations": ["ready"]}])
    with pytest.raises(HoldfastError, match="no arm shown was tested under a perturbation shown"):
        build_table("t", alone, run, partial)


def test_a_table_says_which_point_of_a_sweep_each_arm_shown_is() -> None:
    words = "beta 0.03 (sweep: snakemake sweep_zo)"
    swept = Labels(arms={"zo": "FO + ZO"}, points={"zo": words, "another": "beta 1"})
    shown = settings_of(sections=[{"arm": "fo"}, {"arm": "zo"}])
    notes = build_table("t", shown, RUN, swept).notes
    assert f"FO + ZO: {words}." in notes
    assert "beta 1" not in " ".join(notes)
    without = build_table("t", settings_of(sections=[{"arm": "fo"}]), RUN, swept).notes
    assert "beta" not in " ".join(without)
