"""Settings: what is refused, in which words, and what overlays do."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from holdfast.config import HoldfastError, load_settings
from places import CONFIG


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load(CONFIG.read_text()))


def put(config: dict[str, Any], path: str, value: Any) -> None:
    *folders, last = path.split("/")
    for folder in folders:
        config = config[int(folder) if isinstance(config, list) else folder]
    if value is ...:
        del config[last]
    else:
        config[last] = value


BAD = {
    "unknown top-level key": (
        "judgse",
        {},
        "judgse: unknown setting 'judgse'; did you mean 'judges'?",
    ),
    "unknown key in an arm": (
        "arms/fo/learning_rat",
        0.1,
        "arms.fo.learning_rat: unknown setting 'learning_rat'; did you mean 'learning_rate'?",
    ),
    "unknown stage": (
        "arms/zo/stage",
        "zeroth",
        "arms.zo.stage: 'zeroth' is not known; did you mean 'zeroth_order'?",
    ),
    "stage left out": ("arms/zo/stage", ..., "arms.zo.stage: this setting is required"),
    "parent left out": ("arms/fo/from", ..., "arms.fo.from: this setting is required"),
    "unknown parent": (
        "arms/zo/from",
        "fo_lon",
        "arms.zo.from: 'fo_lon' does not exist; did you mean 'fo_long'?",
    ),
    "gap table with an unknown reference": (
        "tables/around",
        {"kind": "gap", "title": "T", "arms": ["zo"], "references": {"zo": "f0"}},
        "tables.around.references.zo: 'f0' does not exist; did you mean 'fo'?",
    ),
    "gap figure of an unknown arm": (
        "figures/curve",
        {"kind": "gap_curve", "title": "T", "arms": ["zoo"]},
        "figures.curve.arms: 'zoo' does not exist; did you mean 'zo'?",
    ),
    "gap at a size twice": ("gap/rho", [0.1, 0.1], "gap.rho: a size is there more than once"),
    "arms in a circle": ("arms/fo/from", "zo", "go in a circle"),
    "control of an arm that does not exist": (
        "arms/control",
        {"stage": "random_move", "from": "fo", "like": "zo_robst"},
        "arms.control.like: 'zo_robst' does not exist; did you mean 'zo_robust'?",
    ),
    "control that starts elsewhere": (
        "arms/control",
        {"stage": "random_move", "from": "original", "like": "zo"},
        "arms.control.like: 'zo' does not come from 'original'",
    ),
    "sign flip of a first-order arm": (
        "arms/control",
        {"stage": "sign_flip", "from": "original", "like": "fo"},
        "arms.control.like: 'fo' is no zeroth-order arm; name one",
    ),
    "LoX from an arm that is no ancestor": (
        "arms/lox",
        {"stage": "lox", "from": "fo", "base": "zo"},
        "arms.lox.base: 'zo' is not among the arms that 'fo' was made from (original)",
    ),
    "smoothing without its width": (
        "arms/smooth",
        {"stage": "smoothed_first_order", "from": "fo"},
        "arms.smooth.rho: this setting is required",
    ),
    "unknown selection": (
        "arms/zo_snip/layers",
        "snap",
        "arms.zo_snip.layers: 'snap' does not exist; did you mean 'snip'?",
    ),
    "negative learning rate": (
        "arms/fo/learning_rate",
        -0.1,
        "arms.fo.learning_rate: -0.1 is wrong: input should be greater than 0",
    ),
    "text for a number": (
        "arms/zo/beta",
        "small",
        "arms.zo.beta: 'small' is wrong: input should be a valid number",
    ),
    "steps not whole": ("arms/fo/steps", 1.5, "arms.fo.steps: 1.5 is wrong: input should be"),
    "unknown scheduler": (
        "arms/fo/scheduler",
        "cosin",
        "arms.fo.scheduler: 'cosin' is not known; did you mean 'cosine'?",
    ),
    "unknown direction": (
        "arms/zo/direction",
        "gausian",
        "arms.zo.direction: 'gausian' is not known; did you mean 'gaussian'?",
    ),
    "unknown perturbation kind": (
        "perturbations/w4a4/kind",
        "fake_quantt",
        "perturbations.w4a4.kind: 'fake_quantt' is not known; did you mean 'fake_quant'?",
    ),
    "level not positive": (
        "perturbations/weight_noise/levels",
        [0],
        "perturbations.weight_noise.levels.0: 0 is wrong: input should be greater than 0",
    ),
    "no levels": (
        "perturbations/weight_noise/levels",
        [],
        "perturbations.weight_noise.levels: [] is wrong: list should have at least 1 item",
    ),
    "no draws": ("perturbations/weight_noise/draws", 0, "perturbations.weight_noise.draws: 0 is"),
    "too many bits": (
        "perturbations/w4a16/levels/W4A16-g32/bits",
        16,
        "perturbations.w4a16.levels.W4A16-g32.bits: 16 is wrong: input should be less than or",
    ),
    "a group size that the back end lacks": (
        "perturbations/w4a16/backend",
        "gptqmodel",
        "perturbations.w4a16: level 'W4A16-tensor': `gptqmodel` cannot share a scale over tensor",
    ),
    "checkpoint of no model": (
        "perturbations/none",
        {"kind": "checkpoint", "levels": {"AWQ": [{"model": "pockt", "path": "a"}]}},
        "perturbations.none.levels.AWQ.model: 'pockt' does not exist; did you mean 'pocket'?",
    ),
    "checkpoint without a pin": (
        "perturbations/none",
        {"kind": "checkpoint", "levels": {"AWQ": [{"model": "pocket", "hub": "a/b"}]}},
        "perturbations.none.levels.AWQ.0: `hub` and `revision`, the 40-digit commit to pin",
    ),
    "group size neither number nor name": (
        "perturbations/w4a16/levels/W4A16-g32/group_size",
        "row",
        "perturbations.w4a16.levels.W4A16-g32.group_size: 'row' is wrong: give a whole number or "
        "'channel' or 'tensor'",
    ),
    "unknown judge kind": (
        "judges/harmbench/kind",
        "harmbensh",
        "judges.harmbench.kind: 'harmbensh' is not known; did you mean 'harmbench'?",
    ),
    "unknown refusal list": (
        "judges/refusal_prefix/prefixes",
        "strings30",
        "judges.refusal_prefix.prefixes: 'strings30' is not known; did you mean 'strings29'?",
    ),
    "two data sources": (
        "data/behaviors/source",
        {"pocket": "behaviors.csv", "path": "b.csv"},
        "data.behaviors.source: give exactly one of pocket, path, url, hub (found pocket and path)",
    ),
    "url without checksum": (
        "data/behaviors/source",
        {"url": "https://example.org/b.csv"},
        "data.behaviors.source: `url` needs `sha256`, the digest of the file",
    ),
    "hub model without revision": (
        "models/pocket",
        {"hub": "a/b", "layers": 2},
        "models.pocket: `hub` needs `revision`, the 40-digit commit to pin",
    ),
    "revision that is a branch": (
        "models/pocket",
        {"hub": "a/b", "layers": 2, "revision": "main"},
        "models.pocket.revision: 'main' is wrong",
    ),
    "remote code on a local model": (
        "models/pocket",
        {"path": "x", "layers": 2, "trust_remote_code": True},
        "models.pocket: `trust_remote_code` is only for a `hub` model with a revision",
    ),
    "layers left out": (
        "models/pocket",
        {"path": "x"},
        "models.pocket.layers: this setting is required for `path`",
    ),
    "name with a slash": ("models/a~b", {"pocket": {}}, "models.a~b"),
    "model named like a folder": (
        "models/tables",
        {"pocket": {}},
        "models.tables: this name is taken by a results folder; rename it",
    ),
    "run that leaves the folder": ("run", "../x", "run: '../x' is wrong"),
    "table named like a rule": (
        "tables/judge",
        {"kind": "judge_agreement", "title": "t"},
        "is taken",
    ),
    "unknown arm in a table": (
        "tables/table2/sections/0/arm",
        "foo",
        "tables.table2.sections.0.arm: 'foo' does not exist; did you mean 'fo'?",
    ),
    "unknown reference": (
        "tables/table2/sections/0/reference/arm",
        "orignal",
        "sections.0.reference.arm: 'orignal' does not exist; did you mean 'original'?",
    ),
    "unknown metric": (
        "tables/table2/metrics",
        ["harmbnch"],
        "tables.table2.metrics: 'harmbnch' does not exist; did you mean 'harmbench'?",
    ),
    "unknown arm in a table of verdicts": (
        "tables/hidden_danger/arms",
        ["foo"],
        "tables.hidden_danger.arm: 'foo' does not exist; did you mean 'fo'?",
    ),
    "unknown reference of flips": (
        "tables/flips/reference/arm",
        "foo",
        "tables.flips.reference.arm: 'foo' does not exist; did you mean 'fo'?",
    ),
    "measure in place of a judge": (
        "tables/flips/metrics",
        ["perplexity"],
        "tables.flips.metrics: 'perplexity' does not exist",
    ),
    "judge without another": (
        "tables/kappa/metrics",
        ["harmbench"],
        "tables.kappa.metrics: a pair of judges is needed, not 1",
    ),
    "unknown level in a table": (
        "tables/table4/sections/0/levels",
        {"weight_noise": [26]},
        "tables.table4.sections.0.levels.weight_noise: '26' does not exist",
    ),
    "cost of an arm that has none": (
        "tables/table3/arms",
        ["original"],
        "tables.table3.arms: 'original' has no stage whose cost could be shown",
    ),
    "unknown arm in a figure": (
        "figures/figure3/arms",
        ["fo_lang"],
        "figures.figure3.arm: 'fo_lang' does not exist; did you mean 'fo_long'?",
    ),
    "more layers than the model has": (
        "selections/snip/top_m",
        9,
        "selections.snip.top_m: 9 is more than the 6 layers of models.pocket",
    ),
    "share below one layer": (
        "selections/snip/top_m",
        0.1,
        "selections.snip.top_m: 0.1 is less than one of the 6 layers of models.pocket",
    ),
    "half a layer": (
        "selections/snip/top_m",
        2.5,
        "selections.snip.top_m: give a whole number of layers, or a share of them below 1",
    ),
    "no layer": ("selections/snip/top_m", 0, "selections.snip.top_m: 0 is wrong"),
    "layers in words": ("selections/snip/top_m", "two", "selections.snip.top_m: 'two' is wrong"),
    "seed below zero": ("seeds", [-1], "seeds.0: -1 is wrong"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_config_is_refused_in_one_sentence(config: dict[str, Any], case: str) -> None:
    path, value, expected = BAD[case]
    put(config, path, value)
    with pytest.raises(HoldfastError) as error:
        load_settings(config)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_the_default_is_accepted(config: dict[str, Any]) -> None:
    assert load_settings(config).run == "pocket"


def test_an_entry_set_to_null_is_left_out(config: dict[str, Any]) -> None:
    config["figures"]["figure2"] = None
    config["perturbations"]["w4a16"]["levels"]["W3A16-tensor"] = None
    settings = load_settings(config)
    assert "figure2" not in settings.figures
    assert settings.perturbations["w4a16"].cells == [("W4A16-g32", 0), ("W4A16-tensor", 0)]


def test_environment_overrides_the_data_root(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_DATA", "/somewhere")
    assert load_settings(config).data_root == "/somewhere"


def test_parsing_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, holdfast.config, holdfast.plan; print(sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("'torch'", "'transformers'", "'numpy'", "'pandas'", "'scipy'", "'lm_eval'"):
        assert heavy not in modules


def test_a_checkpoint_of_a_trained_arm_is_a_copy_of_one_seed(config: dict[str, Any]) -> None:
    levels = {"AWQ": [{"model": "pocket", "arm": "fo", "path": "a"}]}
    config["perturbations"]["ready"] = {"kind": "checkpoint", "levels": levels}
    assert load_settings(config).seeds == [0]
    config["seeds"] = [0, 1]
    with pytest.raises(
        HoldfastError, match=r"ready\.levels\.AWQ\.arm: a checkpoint is a copy of one"
    ):
        load_settings(config)
