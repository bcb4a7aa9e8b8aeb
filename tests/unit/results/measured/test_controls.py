"""The noise floor: from which arms it is taken, and how tables show what is inside it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from built import build_table, pooled
from holdfast.config import HoldfastError, load_settings
from holdfast.plan import Plan
from holdfast.results.measured import cells
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from holdfast.settings.labels import Labels
from holdfast.statistics import noise_floor
from places import CONFIG
from small_tables import METRICS, RUN, records, settings_of, summary

CONTROLS = [summary("random"), summary("again")]
LINEAGE = Labels(
    arms={"random": "Random move"},
    parents={"zo": "fo", "random": "fo", "again": "fo", "fo": "original"},
)
SECTIONS = [
    {"arm": "fo", "reference": {"arm": "original"}},
    {"arm": "zo", "reference": {"arm": "fo"}},
    {"arm": "random", "reference": {"arm": "fo"}},
]


def table_of(run: list[Any], **changes: Any) -> Any:
    settings = settings_of(controls=["random", "again"], **{"sections": SECTIONS, **changes})
    return build_table("t", settings, run, LINEAGE)


def share(one: Any, metric: str = "harmbench") -> float:
    hits, draws = cells.counts(cells.find_cell(pooled(one), "weight_noise", "2"), metric)
    return float(hits.mean()) / draws


def floors(table: Any, arm: str, metric: str = "harmbench", level: str = "2") -> str:
    wanted = (arm, level, metric)
    (row,) = [r for r in records(table) if (r["arm"], r["level"], r["metric"]) == wanted]
    return row["noise_floor"]


def test_the_floor_is_of_the_controls_made_from_the_reference() -> None:
    table = table_of([*RUN, *CONTROLS])
    moves = [share(control) - share(RUN[1]) for control in CONTROLS]
    assert float(floors(table, "zo")) == pytest.approx(noise_floor(moves), abs=1e-6)
    assert float(floors(table, "random")) == pytest.approx(noise_floor(moves[1:]), abs=1e-6)
    assert floors(table, "fo") == "NA"  # no control is made from the original
    assert floors(table, "zo", "perplexity") == floors(table, "zo", "lm_eval") == "NA"
    assert floors(table, "zo", "over_refusal") != "NA"


def test_each_training_seed_is_a_meaningless_move_of_its_own() -> None:
    first = [*RUN, *CONTROLS]
    second = [{**summary(one["arm"], model="other"), "model": "m", "seed": 1} for one in first]
    moves = [share(run[index]) - share(run[1]) for run in (first, second) for index in (3, 4)]
    found = float(floors(table_of([*first, *second]), "zo"))
    assert found == pytest.approx(noise_floor(moves), abs=1e-6)


def test_against_an_unperturbed_reference_controls_are_unperturbed_too() -> None:
    sections = [{"arm": "zo", "reference": {"arm": "fo", "perturbation": "none"}}]
    only_plain = [{**one, "cells": one["cells"][:1]} for one in CONTROLS]
    table = table_of([*RUN, *only_plain], sections=sections)
    plain = {r["noise_floor"] for r in records(table) if r["metric"] == "harmbench"}
    assert len(plain) == 1
    assert plain != {"NA"}


def test_a_change_inside_the_floor_is_marked_in_every_form_and_greyed_where_there_is_color() -> (
    None
):
    far = summary("zo")
    for cell in far["cells"]:
        cell["outcomes"]["harmbench"] = ["1" * 40] * cell["draws"]
    table = table_of([RUN[0], RUN[1], far, *CONTROLS])
    inside = [record for record in table.records if record.in_floor]
    outside = [record for record in table.records if record.noise_floor and not record.in_floor]
    assert inside
    assert outside
    for record in (*inside, *outside):
        assert record.change is not None
        assert record.noise_floor is not None
        assert record.in_floor == (abs(record.change.delta) <= record.noise_floor)
    marks = len(inside) + 1  # and the note that explains them
    assert to_markdown(table).count("°") == marks
    assert to_latex(table).count(r"$^{\circ}$") == marks
    assert to_latex(table).count(r"\textcolor{gray}{(") == len(inside)
    assert to_html(table).count("°") == marks
    assert to_html(table).count('class="floor" title="inside the noise floor"') == len(inside)
    assert terminal(table, 200).count("°") == marks
    for render in (to_markdown, to_html):
        assert "; floor ±0." in render(table)
    (note,) = [note for note in table.notes if "Noise floor" in note]
    assert "Random move, again" in note
    plain = build_table("t", settings_of(sections=SECTIONS), [*RUN, *CONTROLS], LINEAGE)
    assert not any("Noise floor" in note for note in plain.notes)
    assert "°" not in to_html(plain)


def test_a_missing_control_is_named() -> None:
    with pytest.raises(HoldfastError, match="model 'm', arm 'again' is missing"):
        table_of([*RUN, CONTROLS[0]])
    other = summary("again", metrics=METRICS, behaviors_sha256="t")
    with pytest.raises(HoldfastError, match="different behaviors"):
        table_of([*RUN, CONTROLS[0], other])


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load(CONFIG.read_text())


def test_controls_are_evaluated_where_their_reference_is_shown(config: dict[str, Any]) -> None:
    config["tables"] = {"table4": {**config["tables"]["table4"], "controls": ["zo_random"]}}
    config["figures"] = {}
    plan = Plan(load_settings(config))
    shown = plan.settings.tables["table4"].reads(plan.settings).summaries
    assert shown["zo_random"] == shown["fo"]
    assert any(
        "/zo_random/" in path for path in plan.results.of_table(SimpleNamespace(table="table4"))
    )
    assert plan.results.labels.parents["zo_random"] == "fo"
    assert "original" not in plan.results.labels.parents


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ("zo_rando", "tables.table4.controls: 'zo_rando' does not exist; did you mean 'zo_random'"),
        ("fo_long", "'fo_long' is made from original, and no section's reference is that arm"),
        ("original", "'original' is made from nothing, and .* use an arm made from fo"),
    ],
)
def test_a_control_of_nothing_is_refused(
    config: dict[str, Any], control: str, message: str
) -> None:
    config["tables"]["table4"]["controls"] = [control]
    with pytest.raises(HoldfastError, match=message):
        load_settings(config)
