"""Claims about two arms that are one."""

from __future__ import annotations

from typing import Any

import pytest

from claimed import GAP, LOWER, PLAIN, SAME, gaps, outcomes, pair, row_of, rows_of, table_of
from small_tables import summary


def twins(of: str, name: str, *others: Any) -> list[Any]:
    """The arm ``of``, and the same arm by another name."""
    one = summary(of)
    return [one, {**one, "arm": name}, *others]


SNIP = {**LOWER, "reference": {"arm": "snip"}}


@pytest.mark.parametrize(
    "claim",
    [SNIP, {**SNIP, "kind": "higher"}, {**SAME, "reference": {"arm": "snip"}},
     {**SAME, "reference": {"arm": "snip"}, "metrics": ["lm_eval"]}],
)  # fmt: skip
def test_two_arms_of_equal_weights_are_the_same_arm(claim: dict[str, Any]) -> None:
    run = twins("zo", "snip")
    table = table_of(run, it=claim)
    row = rows_of(table)["it"]
    assert row["verdict"] == "same arm"
    assert row["needs"] == "zo and snip hold the same weights"
    assert {row[name] for name in ("estimate", "ci_low", "ci_high", "p_value", "p_adjusted")} == {
        "NA"
    }
    assert row["n"] == "0"
    assert [entry.text for entry in table.blocks[0].rows[0]][2:5] == ["same arm", "–", "–"]
    assert any(note.startswith("Same arm: ") for note in table.notes)
    other = row_of([run[0], {**run[1], "weights": "others"}], claim)
    assert other["verdict"] in {"cannot tell", "supported"}
    assert float(other["estimate"]) == 0


def test_the_same_arm_takes_no_part_in_the_adjustment() -> None:
    run = twins("zo", "snip", summary("fo"))
    table = table_of(run, it=PLAIN, same=SNIP)
    alone = row_of(run, PLAIN)
    assert rows_of(table)["it"] == alone
    assert any("over the 1 such claims" in note for note in table.notes)


def test_the_same_arm_is_compared_with_itself_unperturbed() -> None:
    run = twins("zo", "snip")
    claim = {**LOWER, "reference": {"arm": "snip", "perturbation": "none"}}
    own = {**LOWER, "reference": {"arm": "zo", "perturbation": "none"}}
    assert row_of(run, claim) == row_of(run, own)


def test_a_claim_about_several_seeds_is_of_the_same_arm_where_all_are() -> None:
    run = twins("zo", "snip")
    again = [{**one, "seed": 1, "weights": "again"} for one in run]
    assert row_of([*run, *again], SNIP)["verdict"] == "same arm"
    again[1]["weights"] = "others"
    assert row_of([*run, *again], SNIP)["verdict"] != "same arm"


def test_a_control_by_two_names_counts_once() -> None:
    fo, zo = pair(30, 20)
    moved = outcomes("random", harmbench=["1" * 29 + "0" * 71])
    run = [fo, zo, moved, {**moved, "arm": "again"}]
    once = row_of(run[:3], PLAIN, controls=["random"])["noise_floor"]
    assert once != "NA"
    assert row_of(run, PLAIN, controls=["random", "again"])["noise_floor"] == once
    itself = [fo, zo, {**zo, "arm": "random"}]
    assert row_of(itself, PLAIN, controls=["random"])["noise_floor"] == "NA"


def test_gaps_of_equal_weights_are_of_the_same_arm() -> None:
    fo = gaps("fo", [600, 700, 500, 650])
    row = row_of([fo, {**fo, "arm": "zo"}], GAP)
    assert (row["verdict"], row["needs"]) == ("same arm", "zo and fo hold the same weights")
    assert (row["estimate"], row["p_value"]) == ("NA", "NA")
