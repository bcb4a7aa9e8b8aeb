"""Claims in the config: what they ask a run for, and which are refused."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from holdfast.config import HoldfastError, load_settings
from holdfast.plan import Plan
from places import CONFIG

GAP = {"kind": "gap", "text": "ZO is flatter", "arm": "zo", "than": "fo", "rho": 0.02}


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load(CONFIG.read_text()))


def test_a_claim_of_a_gap_asks_for_its_measurement(config: dict[str, Any]) -> None:
    plain = Plan(load_settings(config)).results.of_table(SimpleNamespace(table="claims"))
    config["tables"]["claims"]["catalogue"]["flat"] = {**GAP, "arm": "zo_robust"}
    found = Plan(load_settings(config)).results.of_table(SimpleNamespace(table="claims"))
    assert sorted(set(found) - set(plain)) == [
        f"results/pocket/pocket/{arm}/seed0/gap.json" for arm in ("fo", "zo_robust")
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": "zo_robst"}, "flat.arm: 'zo_robst' does not exist; did you mean 'zo_robust'?"),
        ({"than": "f"}, "flat.than: 'f' does not exist"),
        ({"rho": 0.025}, "flat.rho: the gap is not measured at 0.025; name one of gap.rho (0.01,"),
    ],
)
def test_a_claim_of_a_gap_that_cannot_be_tested_is_refused(
    config: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    config["tables"]["claims"]["catalogue"]["flat"] = {**GAP, **change}
    with pytest.raises(HoldfastError) as error:
        load_settings(config)
    assert message in str(error.value)


def test_the_claims_of_the_default_evaluate_nothing_more(config: dict[str, Any]) -> None:
    every = Plan(load_settings(config))
    inputs = every.results.of_table(SimpleNamespace(table="claims"))
    assert len(inputs) == len(set(inputs)) == 35 + 2  # all cells, and the costs of two arms
    assert sum(path.endswith("cost.json") for path in inputs) == 2
    without = {**config, "tables": {**config["tables"], "claims": None}}
    less = Plan(load_settings(without))
    for arm in config["arms"]:
        assert every.evaluation.perturbations(arm) == less.evaluation.perturbations(arm)


def test_a_claim_is_left_out_or_changed_by_name(config: dict[str, Any]) -> None:
    catalogue = config["tables"]["claims"]["catalogue"]
    catalogue["zo_beats_more_fo"] = None
    catalogue["zo_is_fast"]["limit"] = 0.5
    claims = load_settings(config).tables["claims"].catalogue
    assert "zo_beats_more_fo" not in claims
    assert claims["zo_is_fast"].limit == 0.5


@pytest.mark.parametrize(
    ("claim", "changes", "message"),
    [
        ("fo_lowers_asr", {"arm": "foo"}, "fo_lowers_asr.arm: 'foo' does not exist; did you mean"),
        (
            "fo_lowers_asr",
            {"reference": {"arm": "orignal"}},
            "fo_lowers_asr.reference.arm: 'orignal' does not exist; did you mean 'original'?",
        ),
        (
            "fo_lowers_asr",
            {"metrics": ["harmbnch"]},
            "fo_lowers_asr.metrics: 'harmbnch' does not exist; did you mean 'harmbench'?",
        ),
        (
            "fo_lowers_asr",
            {"metrics": ["harmbench", "perplexity"]},
            "fo_lowers_asr.metrics: 'perplexity' is not averaged with others",
        ),
        (
            "zo_beats_more_fo",
            {"levels": {"weight_noise": [26]}},
            "zo_beats_more_fo.levels.weight_noise: '26' does not exist",
        ),
        (
            "zo_beats_more_fo",
            {"perturbations": ["w4a15"]},
            "zo_beats_more_fo.perturbations: 'w4a15' does not exist; did you mean",
        ),
        ("fo_lowers_asr", {"kind": "lwer"}, "fo_lowers_asr.kind: 'lwer' is not known; did you"),
        (
            "zo_keeps_accuracy",
            {"margn": 1},
            "zo_keeps_accuracy.margn: unknown setting 'margn'; did you mean 'margin'?",
        ),
        ("zo_keeps_accuracy", {"margin": 0}, "zo_keeps_accuracy.margin: 0 is wrong"),
        ("zo_is_fast", {"share_of": "fa"}, "zo_is_fast.share_of: 'fa' does not exist"),
        ("zo_is_fast", {"share_of": "original"}, "'original' has no stage that costs anything"),
        ("zo_is_fast", {"measure": "wall"}, "zo_is_fast.measure: 'wall' is not known; did you"),
    ],
)
def test_a_claim_that_cannot_be_tested_is_refused(
    config: dict[str, Any], claim: str, changes: dict[str, Any], message: str
) -> None:
    catalogue = config["tables"]["claims"]["catalogue"]
    catalogue[claim] = {**catalogue[claim], **changes}
    with pytest.raises(HoldfastError) as error:
        load_settings(config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_catalogue_and_a_control_of_nothing_are_refused(config: dict[str, Any]) -> None:
    config["tables"]["claims"]["controls"] = ["zo_rando"]
    with pytest.raises(HoldfastError, match=r"claims\.controls: 'zo_rando' does not exist"):
        load_settings(config)
    config["tables"]["claims"]["catalogue"] = {}
    with pytest.raises(HoldfastError, match=r"tables\.claims\.catalogue: "):
        load_settings(config)
