"""The cost table: the paper's printed numbers, and what may not be compared."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from built import build_table
from holdfast.errors import HoldfastError
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from holdfast.settings.tables import TableSettings
from small_tables import records

COSTS = [
    {"model": "m", "arm": "fo", "stage": "first_order", "steps": 100, "wall_s": 1146.8},
    {"model": "m", "arm": "zo_robust", "stage": "zeroth_order", "steps": 10, "wall_s": 152.11},
]
for cost, mib, passes in zip(COSTS, (82024, 26421), (2400, 140), strict=True):
    cost |= {"peak_memory_bytes": mib * 2**20, "device": "GPU", "memory_kind": "allocated"}
    cost |= {"forward_passes": passes, "resumed": False}


def cost_settings() -> Any:
    return TypeAdapter(TableSettings).validate_python(
        {"kind": "cost", "title": "Cost", "arms": ["fo", "zo_robust"]}
    )


def test_the_papers_table_3_is_printed_as_in_the_paper() -> None:
    table = build_table("table3", cost_settings(), COSTS)
    text = to_markdown(table)
    assert "| Run time ↓ | 1146.8 s | 152.1 s (0.13×) |" in text
    assert "| Peak memory ↓ | 82024 MiB | 26421 MiB (0.32×) |" in text
    assert "| Compute ↓ | 2,400 passes | 140 passes (0.06×) |" in text
    rows = records(table)
    metrics = ("wall_s", "peak_memory_bytes", "forward_passes")
    assert [row["metric"] for row in rows] == [name for name in metrics for _ in range(2)]
    assert float(rows[1]["delta"]) == pytest.approx(152.11 - 1146.8)
    assert all(cell for row in rows for cell in row.values())


def test_costs_are_averaged_over_seeds_and_missing_ones_are_named() -> None:
    again = {**COSTS[0], "wall_s": 1046.8}
    rows = records(build_table("t", cost_settings(), [*COSTS, again]))
    assert (float(rows[0]["value"]), rows[0]["n"]) == (1096.8, "2")
    with pytest.raises(HoldfastError, match=r"cost\.json of model 'm', arm 'zo_robust' is missing"):
        build_table("t", cost_settings(), COSTS[:1])


def test_costs_of_different_devices_are_flagged() -> None:
    table = build_table("t", cost_settings(), [COSTS[0], {**COSTS[1], "device": "CPU"}])
    assert any("ratios are no guide" in note for note in table.notes)


def test_the_cost_of_a_resumed_stage_is_flagged() -> None:
    plain = build_table("t", cost_settings(), COSTS)
    assert not any("resumed" in note for note in plain.notes)
    table = build_table("t", cost_settings(), [COSTS[0], {**COSTS[1], "resumed": True}])
    (note,) = [note for note in table.notes if "resumed" in note]
    assert COSTS[1]["arm"] in note
    assert COSTS[0]["arm"] not in note.split(".")[0].split()


def test_the_cost_of_an_untrained_model_is_told_to_mean_nothing() -> None:
    plain = build_table("t", cost_settings(), COSTS)
    told = build_table("t", cost_settings(), COSTS, meaningless=True)
    for render in (to_markdown, to_latex, to_html, terminal):
        assert "THESE NUMBERS MEAN NOTHING" in render(told)
        assert "MEAN NOTHING" not in render(plain)
