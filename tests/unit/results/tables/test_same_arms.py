"""Tables in which two arms are one: they say so, and test nothing against itself."""

from __future__ import annotations

from typing import Any

import pytest
from statsmodels.stats.multitest import multipletests

from built import build_table
from holdfast.results.tables.grid import Table
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from holdfast.results.tables.tidy import to_csv
from holdfast.settings.labels import Labels
from judged_tables import CALM, SAFE, UNSAFE, behaviors, both, cell, measured, rows, texts
from judged_tables import settings as settings_of_judged
from judged_tables import summary as judged
from small_tables import records, settings_of, summary

LABELS = Labels(arms={"zo": "ZO", "snip": "SNIP"}, parents={"snip": "fo", "zo": "fo", "x": "fo"})
SENTENCE = "SNIP is the same arm as ZO: the weights are equal."
FO, ZO = summary("fo"), summary("zo")
NO_TEST = ("delta", "delta_low", "delta_high", "p_value", "p_adjusted", "noise_floor")


def twin(of: Any, name: str = "snip") -> Any:
    """The same arm by another name."""
    return {**of, "arm": name}


def table_of(*sections: dict[str, Any], run: list[Any] | None = None, **changes: Any) -> Table:
    settings = settings_of(sections=list(sections), **changes)
    return build_table("t", settings, run or [FO, ZO, twin(ZO)], LABELS)


def against(reference: str, arm: str = "snip", perturbation: str = "same") -> dict[str, Any]:
    return {"arm": arm, "reference": {"arm": reference, "perturbation": perturbation}}


def test_an_arm_is_not_tested_against_itself_by_another_name() -> None:
    table = table_of(against("zo"), against("fo", "zo"))
    found = records(table)
    alone = records(table_of(against("fo", "zo")))
    same, others = found[: len(found) // 2], found[len(found) // 2 :]
    assert {row["arm"] for row in same} == {"snip"}
    assert all(row[column] == "NA" for row in same for column in NO_TEST)
    assert {row["reference"].split("/")[0] for row in same} == {"zo"}
    assert {row["better"] for row in same} == {"lower", "higher"}
    assert others == alone  # nothing was added to the family
    entries = [entry for row in table.blocks[0].rows for entry in row[2:]]
    assert {(entry.arrow, entry.amount, entry.stars, entry.tone) for entry in entries} == {
        ("", "=", "", "")
    }
    assert SENTENCE in table.notes
    assert "= stands where an arm would be compared with itself: no test." in table.notes
    assert not any("SNIP against ZO" in note for note in table.notes)
    for render in (to_html, to_latex, to_markdown, terminal):
        assert "same arm as ZO" in " ".join(render(table).split())


def test_arms_of_other_weights_are_tested_though_they_measure_alike() -> None:
    other = {**twin(ZO), "weights": "others"}
    table = table_of(against("zo"), run=[ZO, other])
    assert {row["delta"] for row in records(table)} == {"0.000000"}
    assert all(row["p_adjusted"] != "NA" for row in records(table) if row["metric"] == "harmbench")
    assert not any("same arm" in note for note in table.notes)


def test_a_perturbed_arm_is_compared_with_its_twin_unperturbed() -> None:
    table = table_of(against("zo", perturbation="none"))
    itself = table_of(against("snip", perturbation="none"))
    for row, own in zip(records(table), records(itself), strict=True):
        tested = row["perturbation"] != "none"
        assert (row["delta"] != "NA") == tested
        assert row["p_value"] == own["p_value"]
        assert row["p_adjusted"] == own["p_adjusted"]
    assert any("SNIP against ZO, unperturbed" in note for note in table.notes)


@pytest.mark.parametrize(
    ("family", "once"), [("table", True), ("metric", True), ("section", False)]
)
def test_one_comparison_shown_twice_is_one_test(family: str, once: bool) -> None:
    sections = [against("fo", "zo"), against("fo")]
    twice = table_of(*sections, family=family)
    found, alone = records(twice), records(table_of(sections[0], family=family))
    assert [row["p_adjusted"] for row in found] == [row["p_adjusted"] for row in alone] * 2
    tests = sum(row["p_adjusted"] != "NA" for row in alone) * (1 if once else 2)
    (note,) = [note for note in twice.notes if note.startswith("* p < .05")]
    assert f"the {tests} comparisons of" in note or f"({tests} in all)" in note
    assert SENTENCE in twice.notes
    assert any("is one test" in note for note in twice.notes) == once
    plain = [float(row["p_value"]) for row in alone if row["p_value"] != "NA"]
    if family == "table":
        expected = multipletests(plain, method="holm")[1]
        adjusted = [float(row["p_adjusted"]) for row in alone if row["p_value"] != "NA"]
        assert adjusted == pytest.approx(list(expected), rel=1e-4)


def test_a_control_by_two_names_is_one_control() -> None:
    controls = [summary("x"), twin(summary("x"), "y")]
    labels = Labels(parents=dict.fromkeys(("zo", "snip", "x", "y"), "fo"))

    def floors(names: list[str], arm: str = "zo") -> list[str]:
        settings = settings_of(controls=names, sections=[against("fo", arm)])
        table = build_table("t", settings, [FO, ZO, twin(ZO), *controls], labels)
        return [row["noise_floor"] for row in records(table)]

    assert floors(["x", "y"]) == floors(["x"])
    assert set(floors(["x"])) != {"NA"}
    # An arm is no control of itself, whatever it is called.
    assert floors(["snip", "x"]) == floors(["x"])


def test_the_note_names_controls_and_references_too() -> None:
    settings = settings_of(controls=["x", "y"], sections=[against("fo", "zo")])
    run = [FO, ZO, summary("x"), twin(summary("x"), "y")]
    labels = Labels(parents={"x": "fo", "y": "fo"})
    notes = build_table("t", settings, run, labels).notes
    assert any(note.startswith("y is the same arm as x") for note in notes)


def flips(run: list[Any], **changes: Any) -> Table:
    wanted = {"arm": "snip", "reference": {"arm": "zo"}, **changes}
    return build_table("f", settings_of_judged("flips", **wanted), run, LABELS, behaviors(4))


def test_no_verdict_is_looked_for_between_an_arm_and_itself() -> None:
    zo = judged("zo", cell("none", "", both(["0101"])), cell("noise", "1", both(["1111"])))
    table = flips([zo, twin(zo)])
    assert texts(table)[0][0] == "Not compared: the same arm."
    assert rows(table.csv) == []
    assert any(note.startswith(SENTENCE) for note in table.notes)
    assert not any("0 cells" in note for note in table.notes)
    other = flips([zo, {**twin(zo), "weights": "others"}])
    assert texts(other)[0][0] == "No verdict flips in 2 cells."
    assert not any("same arm" in note for note in other.notes)
    perturbed = flips([zo, twin(zo)], reference={"arm": "zo", "perturbation": "none"})
    assert [row[0] for row in texts(perturbed)] == ["b0", "b2"]
    assert any("m, 1 cell:" in note for note in perturbed.notes)


def test_hidden_danger_looks_through_an_arm_once() -> None:
    found = cell("noise", "1", both([UNSAFE]), **measured())
    calm = cell("noise", "2", both([SAFE]), **measured())
    zo = judged("zo", CALM, found, calm)
    wanted = settings_of_judged("hidden_danger", arms=["zo", "snip"])
    table = build_table("d", wanted, [zo, twin(zo)], LABELS)
    alone = build_table("d", settings_of_judged("hidden_danger", arms=["zo"]), [zo], LABELS)
    assert [row[0] for row in texts(table)] == ["ZO = SNIP"]
    assert [row[1:] for row in texts(table)] == [row[1:] for row in texts(alone)]
    assert table.notes[:4] == alone.notes[:4]  # cells and tests are counted once
    assert any(note.startswith(SENTENCE) for note in table.notes)
    lines = rows(to_csv(table.records))
    assert {line["arm"] for line in lines if line["metric"] == "hidden_danger"} == {"zo", "snip"}
    other = build_table("d", wanted, [zo, {**twin(zo), "weights": "others"}], LABELS)
    assert [row[0] for row in texts(other)] == ["ZO", "SNIP"]
    assert "Of 4 cells" in other.notes[0]


def test_hidden_danger_against_the_same_arm_looks_through_nothing() -> None:
    zo = judged("zo", CALM, cell("noise", "1", both([UNSAFE]), **measured()))
    wanted = settings_of_judged("hidden_danger", arms=["snip"], reference={"arm": "zo"})
    table = build_table("d", wanted, [zo, twin(zo)], LABELS)
    assert texts(table)[0][0] == "None found among 0 cells."
    assert any(note.startswith(SENTENCE) for note in table.notes)
    assert rows(to_csv(table.records)) == []


def test_judges_agree_on_the_completions_of_an_arm_once() -> None:
    fo = judged("fo", cell("noise", "1", both(["0101"], ["0111"])))
    zo = judged("zo", cell("noise", "1", both(["1101"], ["1001"])))

    def kappa(*run: Any) -> Table:
        wanted = settings_of_judged("judge_kappa", arms=[one["arm"] for one in run])
        return build_table("k", wanted, list(run), LABELS)

    twice, once = kappa(fo, zo, twin(zo)), kappa(fo, zo)
    assert texts(twice) == texts(once)
    assert any(note.startswith(SENTENCE) for note in twice.notes)
    assert texts(kappa(fo, zo, {**twin(zo), "weights": "others"})) != texts(once)
