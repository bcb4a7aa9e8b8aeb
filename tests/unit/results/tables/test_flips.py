"""Behaviors whose verdict flips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from built import build_table, write_table
from holdfast.errors import HoldfastError
from holdfast.results.tables.flips import COLUMNS, Behaviors
from holdfast.results.tables.grid import Table
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from judged_tables import (
    HOSTILE,
    LABELS,
    RENDERERS,
    behaviors,
    both,
    cell,
    rows,
    settings,
    summary,
    texts,
)


def flips(fo: list[Any], zo: list[Any], size: int = 4, **changes: Any) -> Table:
    wanted = settings("flips", **{"arm": "zo", "reference": {"arm": "fo"}, **changes})
    run = [summary("fo", *fo), summary("zo", *zo)]
    return build_table("flips", wanted, run, LABELS, behaviors(size))


def test_flips_are_listed_by_cell_and_direction() -> None:
    fo = [cell("none", "", both(["0101"], ["0111"])), cell("noise", "1", both(["0000"]))]
    zo = [cell("none", "", both(["1001"], ["0001"])), cell("noise", "1", both(["000?"]))]
    table = flips(fo, zo)
    assert [block.titles for block in table.blocks] == [
        ("m", "None: refused → complied (1)"),
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
    assert "m, 1 cell:" in table.notes[-1]  # the unperturbed cell is not among them
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
