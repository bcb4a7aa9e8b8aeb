"""What all tables of judges' verdicts keep to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from built import build_table
from holdfast.results.measured.inputs import Behaviors
from holdfast.results.tables.grid import BANNER
from holdfast.results.tables.render.latex import to_latex
from judged_tables import (
    HOSTILE,
    LABELS,
    SAFE,
    UNSAFE,
    behaviors,
    both,
    cell,
    danger,
    kappa_table,
    measured,
    settings,
    summary,
)


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
