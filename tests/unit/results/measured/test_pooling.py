"""Training seeds pooled: whose draws are repeats, and which cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from built import pooled
from holdfast.errors import HoldfastError


def summary(seed: int, outcomes: list[str], **changes: Any) -> dict[str, Any]:
    cell = {
        "perturbation": "none",
        "level": "",
        "draws": len(outcomes),
        "noise_seeds": [seed],
        "outcomes": {"harmbench": outcomes},
        "perplexity": [{"nll": [1.0 + seed], "tokens": [5]}],
        "lm_eval": {"piqa": {"metric": "acc", "scores": ["01"]}},
    }
    base = {
        "schema": 2,
        "weights": "w",
        "model": "m",
        "arm": "fo",
        "seed": seed,
        "behaviors": 4,
        "metrics": {},
    }
    base |= {"behaviors_sha256": "a", "versions": {}, "dtype": "float32"}
    return {**base, "meaningless": False, "cells": [cell], **changes}


def test_pooled_seeds_are_repeats_of_the_same_behaviors() -> None:
    both = pooled(summary(0, ["0110", "0111"]), summary(3, ["1110", "0000"]))
    (cell,) = both.cells
    assert both.seeds == (0, 3)
    assert (cell.draws, cell.repeats) == (4, 2)
    assert cell.outcomes["harmbench"] == ["0110", "0111", "1110", "0000"]
    assert cell.noise_seeds == [0, 3]
    assert [window.nll for window in cell.perplexity or ()] == [[1.0], [4.0]]
    assert (cell.lm_eval or {})["piqa"].scores == ["01", "01"]


def test_draws_of_one_seed_are_repeats_unless_they_are_fixed() -> None:
    one = [summary(0, ["0110", "0111", "1111"])]
    assert pooled(*one).cells[0].repeats == 3
    assert pooled(*one, draws="fixed").cells[0].repeats == 1
    two = [*one, summary(1, ["0110", "0111", "1111"])]
    assert pooled(*two, draws="fixed").cells[0].repeats == 2


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"behaviors_sha256": "b"}, "behaviors"),
        ({"metrics": {"x": {"kind": "asr", "better": "lower", "label": "X"}}}, "metrics"),
        ({"cells": []}, "perturbations"),
        ({"cells": summary(1, ["01", "11"])["cells"]}, "numbers of draws"),
    ],
)
def test_seeds_that_cannot_be_pooled_are_named(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(HoldfastError, match=f"m/fo: seeds 0 and 1 .* {what}"):
        pooled(summary(0, ["01"]), summary(1, ["01"], **changes))
