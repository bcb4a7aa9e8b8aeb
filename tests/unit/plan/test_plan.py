"""Paths and parameters of a run, as functions of its settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from holdfast.config import load_settings
from holdfast.data.source import fetch
from holdfast.errors import HoldfastError
from holdfast.plan import At, Plan
from holdfast.plan.stages import DATASETS
from places import CONFIG


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load(CONFIG.read_text())


def plan(config: dict[str, Any]) -> Plan:
    return Plan(load_settings(config))


def table(name: str) -> SimpleNamespace:
    """Return the wildcards of a table\'s rule."""
    return SimpleNamespace(table=name)


def test_the_order_of_keys_in_the_config_changes_no_parameter(config: dict[str, Any]) -> None:
    before = plan(config)
    config["arms"]["fo"] = dict(reversed(config["arms"]["fo"].items()))
    after = plan(config)
    arms = [one.settings.arms["fo"].move for one in (before, after)]
    assert before.params("first_order", arms[0]) == after.params("first_order", arms[1])


def test_a_label_changes_no_parameter(config: dict[str, Any]) -> None:
    before = plan(config).params("judge", plan(config).settings.judges["harmbench"])
    config["judges"]["harmbench"]["label"] = "Other words"
    assert plan(config).params("judge", plan(config).settings.judges["harmbench"]) == before


def test_levels_keep_the_configs_order(config: dict[str, Any]) -> None:
    levels = list(config["perturbations"]["w4a16"]["levels"])
    assert [level for level, _ in plan(config).settings.perturbations["w4a16"].cells] == levels
    params = plan(config).params("evaluate", plan(config).settings.perturbations["w4a16"])
    assert [params.index(level) for level in levels] == sorted(map(params.index, levels))


def test_an_arm_is_evaluated_where_something_shows_it(config: dict[str, Any]) -> None:
    config["tables"] = {"table4": config["tables"]["table4"]}
    config["figures"] = {}
    shown = plan(config)
    assert shown.evaluation.perturbations("zo") == [
        "w4a16",
        "w4a4",
        "weight_noise",
        "activation_noise",
    ]
    assert shown.evaluation.perturbations("fo") == shown.evaluation.perturbations(
        "zo"
    )  # the reference of the arrows
    assert shown.evaluation.perturbations("zo_robust") == []


def test_the_tables_of_verdicts_evaluate_nothing_more(config: dict[str, Any]) -> None:
    arms = list(config["arms"])
    every = {arm: plan(config).evaluation.perturbations(arm) for arm in arms}
    for name in ("kappa", "flips", "hidden_danger"):
        del config["tables"][name]
    assert {arm: plan(config).evaluation.perturbations(arm) for arm in arms} == every


def test_danger_is_looked_for_beside_the_unperturbed_arm(config: dict[str, Any]) -> None:
    config["tables"] = {"hidden_danger": config["tables"]["hidden_danger"]}
    config["tables"]["hidden_danger"]["perturbations"] = ["w4a4"]
    config["figures"] = {}
    assert plan(config).evaluation.perturbations("zo_robust") == ["none", "w4a4"]


def test_flips_alone_name_the_behaviors(config: dict[str, Any]) -> None:
    shown = plan(config)
    assert shown.results.behaviors(table("flips")) == ["results/pocket/data/behaviors.jsonl"]
    assert shown.results.behaviors(table("table2")) == shown.results.behaviors(table("kappa")) == []


def test_arms_under_the_same_perturbations_share_the_rules_of_their_jobs(
    config: dict[str, Any],
) -> None:
    config["tables"] = {name: config["tables"][name] for name in ("table1", "table4")}
    config["figures"] = {}
    config["perturbations_per_job"] = 2
    jobs = plan(config).evaluation.jobs
    assert [job.name for job in jobs] == [f"evaluate_{number}" for number in range(len(jobs))]
    assert [(job.arms, job.perturbations) for job in jobs] == [
        ("original", ("none", "w4a16")),
        ("original", ("w4a4", "weight_noise")),
        ("original", ("activation_noise",)),
        ("fo|zo", ("w4a16", "w4a4")),
        ("fo|zo", ("weight_noise", "activation_noise")),
    ]


def test_a_group_of_judges_reads_their_models_and_templates_in_order(
    config: dict[str, Any],
) -> None:
    config["judges_per_job"] = 2
    first, second = plan(config).judging.jobs
    assert first.judges == ("harmbench", "llamaguard")
    assert first.models == ["results/pocket/judges/harmbench", "results/pocket/judges/llamaguard"]
    assert first.templates == ["results/pocket/data/template-harmbench.json"]
    assert (second.judges, second.models, second.templates) == (("refusal_prefix",), [], [])
    assert first.name != second.name


def test_loading_an_arm_reads_its_whole_lineage(config: dict[str, Any]) -> None:
    assert plan(config).arms.lineage(At("pocket", "zo_robust", 0)) == [
        "results/pocket/pocket/zo_robust/seed0/weights",
        "results/pocket/pocket/fo/seed0/weights",
        "results/pocket/models/pocket",
    ]


def test_chunks_cover_every_layer_once(config: dict[str, Any]) -> None:
    config["selections"]["robustness"]["layers_per_job"] = 4
    scored = plan(config)
    chunks = scored.layers.chunks(
        SimpleNamespace(model="pocket", arm="fo", seed=0, selection="robustness")
    )
    layers = [
        layer
        for chunk in range(len(chunks))
        for layer in scored.layers.chunk(
            SimpleNamespace(model="pocket", selection="robustness", chunk=chunk)
        )
    ]
    assert layers == list(range(6))


def test_a_table_of_an_untrained_model_says_so(config: dict[str, Any]) -> None:
    config["models"]["random"] = {"scratch": {"steps": 0}}
    config["tables"]["trained"] = config["tables"]["table3"] | {"models": ["pocket"]}
    shown = plan(config)
    assert shown.results.table_params(table("table3")).endswith("true]")
    assert shown.results.table_params(table("trained")).endswith("false]")


def test_every_seed_makes_every_arm(config: dict[str, Any]) -> None:
    config["seeds"] = [0, 7]
    inputs = plan(config).results.of_table(table("table2"))
    arms = {path.partition("/seed")[0] for path in inputs}
    assert len(arms) == 3
    assert len(inputs) == 3 * 2 * 5
    assert sum("/seed7/" in path for path in inputs) == 3 * 5


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("safe.json", "there/safe.json"),
        ("/x/safe.json", "/x/safe.json"),
        ("~/s.json", "/me/s.json"),
    ],
)
def test_a_local_file_is_where_its_reader_looks(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, path: str, file: str
) -> None:
    monkeypatch.setenv("HOME", "/me")
    monkeypatch.setenv("HOLDFAST_DATA", "there")
    config["data"]["safety"]["source"] = {"path": path}
    ours = plan(config)
    assert ours.data.inputs(SimpleNamespace(dataset="safety")) == [file]
    source = ours.data.rows("safety").source
    with pytest.raises(HoldfastError, match=f"there is no file {file};"):
        fetch(source, ours.data.root([source]), "", "")


def test_another_data_root_makes_again_only_what_it_holds(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    config["data"]["safety"]["source"] = {"path": "safe.json"}
    roots = []
    for config["data_root"] in (".", "there"):
        ours = plan(config)
        roots.append([ours.data.root([ours.data.rows(name).source]) for name in DATASETS])
    moved = [name for name, old, new in zip(DATASETS, *roots, strict=True) if old != new]
    assert moved == ["safety"]
