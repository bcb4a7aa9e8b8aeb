"""Tables that show perplexity say for which models it misleads; others, and CSVs, do not."""

from __future__ import annotations

from typing import Any

import pytest

from begun import begun
from built import build_table
from claimed import PLAIN, SAME
from claimed import table_of as claims_of
from holdfast.results.tables.grid import Table
from holdfast.results.tables.tidy import to_csv
from judged_tables import CALM, LABELS, RENDERERS, UNSAFE, both, cell, measured, settings
from judged_tables import summary as judged
from small_tables import settings_of, summary

SAYS = "Perplexity misleads for m: "
NEEDY = {"none": 0.24, "weight_noise": 0.3}
FO, ZO = summary("fo"), summary("zo")


def said(table: Table) -> int:
    return sum(note.startswith(SAYS) for note in table.notes)


def robustness(run: list[Any], **changes: Any) -> Table:
    return build_table("t", settings_of(**changes), run)


@pytest.mark.parametrize("layout", ["rows", "transposed"])
def test_a_robustness_table_says_it_once_in_every_format(layout: str) -> None:
    plain = robustness([FO, ZO], layout=layout)
    table = robustness([begun(FO, NEEDY), begun(ZO, NEEDY)], layout=layout)
    assert (said(plain), said(table)) == (0, 1)
    assert "lower its NLL by 24 %" in " ".join(table.notes)
    assert to_csv(table.records) == to_csv(plain.records)
    for render in RENDERERS:
        text = " ".join(render(table).split())
        assert SAYS in text
        assert "utility.perplexity.bos" in text


def test_it_is_said_of_the_arms_shown_alone() -> None:
    assert said(robustness([begun(FO, NEEDY), ZO])) == 1  # the reference of what is shown
    assert said(robustness([begun(summary("original"), NEEDY), FO, ZO])) == 0


def test_a_table_without_perplexity_does_not_speak_of_it() -> None:
    run = [begun(FO, NEEDY), begun(ZO, NEEDY)]
    assert said(robustness(run, metrics=["harmbench"])) == 0
    assert said(robustness(run, metrics=["harmbench"], extra_metrics=["perplexity"])) == 1


def test_so_does_a_comparison_with_published_numbers() -> None:
    names = {
        "table": "table1",
        "models": {"m": "Llama-3-8B-Instruct"},
        "arms": {"original": "Original"},
        "perturbations": {"none": "Unperturbed", "weight_noise": "Weight noise"},
        "metrics": {"perplexity": "PPL", "harmbench": "HarmBench ASR"},
    }

    def comparison(metrics: list[str], run: list[Any]) -> Table:
        shown = {"sections": [{"arm": "original"}], "metrics": metrics}
        return robustness(run, published=names, **shown).comparisons[0]

    plain, needy = summary("original"), begun(summary("original"), NEEDY)
    assert said(comparison(["perplexity", "harmbench"], [plain])) == 0
    assert said(comparison(["perplexity", "harmbench"], [needy])) == 1
    assert said(comparison(["harmbench"], [needy])) == 0


def test_so_does_hidden_danger() -> None:
    def danger(*changes: dict[str, float]) -> Table:
        run = [judged("fo", CALM, cell("noise", "1", both([UNSAFE]), **measured()))]
        for change in changes:
            run = [begun(one, change) for one in run]
        return build_table("d", settings("hidden_danger", arms=["fo"]), run, LABELS)

    assert said(danger()) == 0
    assert said(danger(NEEDY)) == 1


def test_so_do_claims_about_perplexity() -> None:
    run = [begun(FO, NEEDY), begun(ZO, NEEDY)]
    assert said(claims_of([FO, ZO], it=SAME)) == 0
    table = claims_of(run, it=SAME, other=PLAIN)
    assert said(table) == 1
    assert table.csv == claims_of([FO, ZO], it=SAME, other=PLAIN).csv
    assert said(claims_of(run, it=PLAIN)) == 0
    twins = [begun(ZO, NEEDY), {**begun(ZO, NEEDY), "arm": "fo"}]
    assert said(claims_of(twins, it=SAME)) == 0  # nothing is compared
