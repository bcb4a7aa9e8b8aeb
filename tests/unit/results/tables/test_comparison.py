"""Ours beside published numbers: what is compared, how it is shown, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from built import build_table
from holdfast.commands.show import overview
from holdfast.config import load_settings
from holdfast.config.published import place, read
from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_text
from holdfast.results.make import make_table
from holdfast.results.tables.grid import Table
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import pages, terminal
from holdfast.results.tables.tidy import COLUMNS, PUBLISHED_COLUMNS, to_csv
from holdfast.settings.labels import Labels
from holdfast.settings.tables import TableSettings
from places import CONFIG

HOSTILE = "=[x] *a* `b` | $y$ <script>alert(1)</script> \\input{z} & % # _ \x1b[31m \f end"

OURS = {"harmbench": "HarmBench ASR", "refusal_prefix": "AdvBench ASR"}
NAMES: dict[str, Any] = {
    "table": "table2",
    "models": {"m": "Llama-3-8B-Instruct"},
    "arms": {"fo": "Stage I", "zo": "Stage II"},
    "perturbations": {"none": "Unperturbed", "gptq": "Quantization", "weight": "Weight noise"},
    "levels": {"gptq": {"g128": "W4A16"}},
    "metrics": OURS,
}
CELLS = {("none", ""): ("Unperturbed", ""), ("gptq", "g128"): ("Quantization", "W4A16")}
CELLS |= {("weight", "2.0"): ("Weight noise", "2"), ("weight", "7"): ("Weight noise", "7")}


def summary(arm: str, model: str = "m", shift: int = 0) -> Any:
    """A run that repeats Table 2's rates exactly, on 3600 behaviors; ``shift`` more succeed."""
    cells = []
    for (perturbation, level), paper in CELLS.items():
        outcomes = {}
        for metric, name in OURS.items():
            key = ("Llama-3-8B-Instruct", NAMES["arms"].get(arm, "Stage I"), *paper, name)
            hits = round(3600 * float(read("table2").get(key, "0.5"))) + shift
            outcomes[metric] = ["1" * hits + "0" * (3600 - hits)]
        cell = {"perturbation": perturbation, "level": level, "draws": 1, "noise_seeds": []}
        cells.append({**cell, "outcomes": outcomes})
    base = {"schema": 2, "weights": arm, "model": model, "arm": arm, "seed": 0, "behaviors": 3600}
    metrics = {one: {"kind": "asr", "better": "lower", "label": OURS[one]} for one in OURS}
    about = {"behaviors_sha256": "s", "meaningless": False, "versions": {}, "dtype": "float32"}
    return {**base, **about, "metrics": metrics, "cells": cells}


def settings_of(names: dict[str, Any] | None, arms: tuple[str, ...] = ("fo", "zo")) -> Any:
    sections = [{"arm": arm, "title": f"Section {arm}"} for arm in arms]
    entry = {"kind": "robustness", "title": "T", "metrics": [*OURS], "sections": sections}
    return TypeAdapter(TableSettings).validate_python({**entry, "published": names})


def built(shift: int = 0, labels: Labels | None = None, **changes: Any) -> Table:
    runs = [summary("fo", shift=shift), summary("zo", shift=shift)]
    return build_table("table2", settings_of({**NAMES, **changes}), runs, labels)


def test_a_faithful_repetition_differs_nowhere() -> None:
    table = built()
    assert [one.title for one in table.comparisons] == [
        "m, fo: ours and published table2",
        "m, zo: ours and published table2",
    ]
    for comparison in table.comparisons:
        (block,) = comparison.blocks
        assert len(block.rows) == 6  # three published cells, two metrics; σ = 7 is not printed
        assert {row[-2].text for row in block.rows} == {"0.0000"}
        assert {row[-1].text for row in block.rows} == {"yes"}
        for row in block.rows:
            assert row[3].text == row[5].text
    assert (
        "Compared with published table2: 12 published numbers; 12 of 12 lie in our 95 % "
        in (table.notes[-1])
    )
    assert "4 other cells have no published number." in table.notes[-1]


def test_rows_go_metric_by_metric_with_ours_the_published_and_the_difference() -> None:
    table = built(shift=360)
    comparison = table.comparisons[1]
    texts = [[cell.text for cell in row] for row in comparison.blocks[0].rows]
    assert [row[:3] for row in texts[:3]] == [
        ["HarmBench ASR ↓", "None", "–"],
        ["HarmBench ASR ↓", "Quantization", "g128"],
        ["HarmBench ASR ↓", "Weight", "2"],
    ]
    low, high = texts[1][4].split("–")
    assert float(low) < 0.19 < float(high)
    assert [texts[1][3], *texts[1][5:]] == ["0.1900", "0.0900", "+0.1000", "no"]
    fewer = built(shift=-36).comparisons[1].blocks[0].rows[1]
    assert [cell.text for cell in fewer][-2:] == ["−0.0100", "no"]


def test_csv_has_the_published_columns_only_when_asked() -> None:
    table = built(shift=1)
    found = list(csv.DictReader(io.StringIO(to_csv(table.records))))
    assert tuple(found[0]) == (*COLUMNS, *PUBLISHED_COLUMNS)
    (row,) = [
        r for r in found if (r["arm"], r["level"], r["metric"]) == ("zo", "2", "refusal_prefix")
    ]
    assert (row["published"], row["published_within"]) == ("0.1556", "yes")
    assert float(row["published_difference"]) == pytest.approx(
        float(row["value"]) - 0.1556, abs=1.1e-6
    )
    for row in found:
        absent = {row[column] for column in PUBLISHED_COLUMNS}
        assert (absent == {"NA"}) == (row["level"] == "7")
    plain = build_table("t", settings_of(None), [summary("fo"), summary("zo")])
    assert to_csv(plain.records).splitlines()[0] == ",".join(COLUMNS)


def test_a_table_without_published_numbers_is_as_before() -> None:
    plain = build_table("table2", settings_of(None), [summary("fo"), summary("zo")])
    table = built()
    assert plain.comparisons == ()
    assert (plain.headings, plain.blocks) == (table.headings, table.blocks)
    assert plain.notes == table.notes[:-1]
    assert pages(plain) == terminal(plain)
    for render in (to_markdown, to_latex, to_html):
        assert "ublished" not in render(plain)


def test_each_rendering_has_the_table_and_then_its_comparisons() -> None:
    table = built()
    assert to_markdown(table).count("### ") == 3
    assert to_latex(table).count(r"\begin{table*}") == to_latex(table).count(r"\end{table*}") == 3
    assert len(set(re.findall(r"\\label{(.*)}", to_latex(table)))) == 3
    assert to_html(table).count("<h2>") == 2
    assert to_html(table).count("<table>") == to_html(table).count("</table>") == 3
    assert len(pages(table).split("\f")) == 3
    for page in pages(table).split("\f"):
        assert max(map(len, page.splitlines())) <= 120


def test_hostile_names_stay_text() -> None:
    labels = Labels(arms={"fo": HOSTILE, "zo": HOSTILE})
    table = built(labels=labels)
    assert "<script" not in to_html(table)
    assert "<script" not in to_markdown(table)
    assert "\\input" not in to_latex(table)
    assert len(pages(table).split("\f")) == 3
    for render in (to_html, to_latex, to_markdown, pages):
        assert "\x1b" not in render(table)
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {5, 9}


def test_a_model_without_a_published_name_is_said() -> None:
    runs = [summary(arm, model) for model in ("m", "other") for arm in ("fo", "zo")]
    table = build_table("t", settings_of(NAMES), runs)
    assert len(table.comparisons) == 2
    assert "Nothing is published for other, fo; other, zo." in table.notes[-1]
    with pytest.raises(HoldfastError, match=r"table 't': published/table2\.csv has none of its"):
        build_table("t", settings_of({**NAMES, "models": {}}), runs)
    with pytest.raises(HoldfastError, match=r"no published/tabel2\.csv; did you mean 'table2'"):
        build_table("t", settings_of({**NAMES, "table": "tabel2"}), runs)


def test_the_papers_costs_have_no_interval() -> None:
    entry = {
        "kind": "cost",
        "title": "Cost",
        "arms": ["fo", "zo"],
        "published": {
            "table": "table3",
            "models": {"m": "Llama-3-8B-Instruct"},
            "arms": {"fo": "FO", "zo": "ZO"},
            "metrics": {"wall_s": "Runtime (s)", "peak_memory_bytes": "Peak memory (MiB)"},
        },
    }
    measured = {"fo": (1100.04, 82024), "zo": (152.11, 26422)}
    costs = [
        {"model": "m", "arm": arm, "stage": "s", "steps": 1, "device": "GPU", "wall_s": seconds}
        | {"memory_kind": "allocated", "peak_memory_bytes": mib * 2**20, "forward_passes": 9}
        | {"resumed": False}
        for arm, (seconds, mib) in measured.items()
    ]
    table = build_table("table3", TypeAdapter(TableSettings).validate_python(entry), costs)
    texts = [[cell.text for cell in row] for one in table.comparisons for row in one.blocks[0].rows]
    assert texts == [
        ["Runtime (s) ↓", "1100.0", "–", "1146.8", "−46.8", "–"],
        ["Peak memory (MiB) ↓", "82024", "–", "82024", "0", "–"],
        ["Runtime (s) ↓", "152.11", "–", "152.11", "0.00", "–"],
        ["Peak memory (MiB) ↓", "26422", "–", "26421", "+1", "–"],
    ]
    found = list(csv.DictReader(io.StringIO(to_csv(table.records))))
    by_metric = {row["metric"]: row for row in found}
    assert by_metric["peak_memory_bytes"]["published"] == str(26421 * 2**20)
    assert by_metric["forward_passes"]["published"] == "NA"
    zo = [row for row in found if row["arm"] == "zo"]
    differences = {row["metric"]: row["published_difference"] for row in zo}
    assert float(differences["peak_memory_bytes"]) == 2**20
    assert {row["published_within"] for row in found} == {"NA"}
    assert "ours have no interval" in table.notes[-1]


def test_show_prints_comparisons_when_asked(tmp_path: Path) -> None:
    inputs = []
    for arm in ("fo", "zo"):
        inputs.append(tmp_path / arm / "summary.json")
        write_text(inputs[-1], json.dumps(summary(arm)))
    folder = tmp_path / "tables"
    make_table("table2", settings_of(NAMES), Labels(), inputs, str(folder / "table2"))
    make_table("plain", settings_of(None), Labels(), inputs, str(folder / "plain"))
    assert {path.suffix for path in folder.glob("table2*")} == {
        ".csv", ".md", ".tex", ".html", ".txt",
    }  # fmt: skip
    brief, full = overview(tmp_path, "table2"), overview(tmp_path, "table2", published=True)
    assert "ours and published" not in brief
    assert full.count("ours and published") == 2
    assert "\f" not in full
    assert overview(tmp_path, "plain").splitlines()[2:] != []
    with pytest.raises(HoldfastError, match=r"set `tables\.plain\.published` and run"):
        overview(tmp_path, "plain", published=True)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.fixture
def config() -> dict[str, Any]:
    """The default config, whose table2 is set beside the paper's for the sake of the test."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    table = config["tables"]["table2"]
    table["published"] = {
        "table": "table2",
        "models": {"pocket": "Llama-3-8B-Instruct"},
        "arms": {"fo": "Stage I", "zo_robust": "Stage II"},
        "perturbations": {"none": "Unperturbed", "w4a16": "Quantization"},
        "levels": {"w4a16": {"W4A16-g32": "W4A16"}},
        "metrics": {"harmbench": "HarmBench ASR"},
    }
    return config


def test_the_config_takes_published_names(config: dict[str, Any]) -> None:
    names = load_settings(config).tables["table2"].published  # type: ignore[union-attr]
    where = place(names, "pocket", "fo", "w4a16", "W4A16-g32", "harmbench")
    assert read("table2")[where] == "0.0900"
    assert place(names, "pocket", "original", "w4a16", "W4A16-g32", "harmbench") is None


BAD = {
    "table": ("tabel2", "published.table: 'tabel2' does not exist; did you mean 'table2'?"),
    "models": (
        {"pocket": "Llama-3-8B"},
        "published.models.pocket: 'Llama-3-8B' does not exist; did you mean 'Llama-3-8B-Instruct'?",
    ),
    "models/pocke": ("x", "published.models: 'pocke' does not exist; did you mean 'pocket'?"),
    "arms/fo": ("Stage 1", "published.arms.fo: 'Stage 1' does not exist; did you mean 'Stage I'?"),
    "arms": (
        {"zo": "Stage II"},
        "published.arms: none of the arms shown (fo, zo_robust) has a published name;"
        " add one, or leave `published` out",
    ),
    "perturbations/w4a16": ("Quantisation", "did you mean 'Quantization'?"),
    "perturbations/weight_noise": (
        "Weight noise",
        "published.levels.weight_noise: published/table2.csv has no number for 20 or 30 or 40;"
        " correct the names, or leave out what is not to be compared",
    ),
    "levels": (
        {},
        "published.levels.w4a16: published/table2.csv has no number for W3A16-tensor or",
    ),
    "levels/w4a16": (
        {"W4A16": "W4A16"},
        "published.levels.w4a16: 'W4A16' does not exist; did you mean 'W4A16-g32'?",
    ),
    "levels/w4a16/W4A16-g32": (
        "W4A17",
        "published.levels.w4a16.W4A16-g32: 'W4A17' does not exist; did you mean 'W4A16'?",
    ),
    "metrics/harmbench": ("Harmbench", "did you mean 'HarmBench ASR'?"),
    "metrics/harmbnch": ("PPL", "published.metrics: 'harmbnch' does not exist"),
    "metrcs": ({}, "published.metrcs: unknown setting 'metrcs'; did you mean 'metrics'?"),
}


@pytest.mark.parametrize("path", BAD)
def test_a_wrong_name_is_one_sentence(config: dict[str, Any], path: str) -> None:
    value, message = BAD[path]
    *folders, last = path.split("/")
    names = config["tables"]["table2"]["published"]
    for folder in folders:
        names = names[folder]
    names[last] = value
    with pytest.raises(HoldfastError) as caught:
        load_settings(config)
    assert str(caught.value).startswith("tables.table2.published.")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_arms_that_are_one_are_said_to_be_beside_published_numbers() -> None:
    run = [summary("fo"), {**summary("fo"), "arm": "zo"}]
    table = build_table("table2", settings_of(NAMES), run)
    assert len(table.comparisons) == 2
    for page in (table, *table.comparisons):
        assert any("zo is the same arm as fo" in note for note in page.notes)
    assert not any("same arm" in note for page in built().comparisons for note in page.notes)
