"""Where perplexity misleads: which models need a beginning, by what was measured of their arms."""

from __future__ import annotations

from typing import Any

import pytest

from begun import begun
from built import pooled
from holdfast.results.measured.beginnings import bos_notes, bos_share
from holdfast.results.measured.files import Summary, content_of
from small_tables import summary


@pytest.mark.parametrize(
    ("shares", "share"),
    [
        ({}, 0.0),  # made by an earlier release
        ({"none": 0.24}, 0.24),
        ({"none": 0.03, "weight_noise": 0.5}, 0.03),  # what noise does to it says little
        ({"none": -0.02}, -0.02),
        ({"weight_noise": 0.5}, 0.5),  # the unperturbed cell was kept from an earlier release
    ],
)
def test_the_share_of_an_arm_is_that_of_its_unperturbed_cells(
    shares: dict[str, float], share: float
) -> None:
    assert bos_share(pooled(begun(summary("fo"), shares))) == share


def test_the_largest_of_seeds_and_arms_counts() -> None:
    seeds = [
        {**begun(summary("fo"), {"none": share}), "seed": seed}
        for seed, share in enumerate((0.2, 0.3))
    ]
    fo, zo = pooled(*seeds), pooled(begun(summary("zo"), {"none": 0.25}))
    assert bos_share(fo) == 0.3
    (note,) = bos_notes([zo, fo, zo])
    assert "by 30 %" in note


def test_each_model_that_needs_a_beginning_has_a_sentence() -> None:
    shares = {"gemma": 0.24, "llama": 0.1, "qwen": 0.0, "other": 0.126}
    arms = [
        pooled(begun(summary("fo", model=model), {"none": share}))
        for model, share in shares.items()
    ]
    assert bos_notes(arms) == [
        "Perplexity misleads for gemma: a beginning-of-sequence token before a window would lower"
        " its NLL by 24 %; set utility.perplexity.bos to true.",
        "Perplexity misleads for other: a beginning-of-sequence token before a window would lower"
        " its NLL by 13 %; set utility.perplexity.bos to true.",
    ]


def test_a_summary_keeps_the_share_and_one_of_before_has_none() -> None:
    def written(raw: Any) -> Any:
        return content_of(Summary.model_validate(raw))["cells"]

    older = summary("fo")
    assert written(older) == older["cells"]
    newer = begun(summary("fo"), {"none": 0.24})
    assert written(newer) == newer["cells"]
    assert newer["cells"][0]["perplexity"][0]["bos_share"] == 0.24
