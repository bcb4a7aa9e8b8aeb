"""The points of a sweep: which arms they are, what the plan makes of them, and what is refused."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from holdfast.config import HoldfastError, load_settings
from holdfast.plan import At, Plan
from places import CONFIG

GRID = {"beta": ["1e-3", 0.03], "learning_rate": [0.01, 0.001]}


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load(CONFIG.read_text()))


def plan(config: dict[str, Any], sweep: dict[str, Any] = GRID, arm: str = "zo_robust") -> Plan:
    config["arms"][arm]["sweep"] = sweep
    return Plan(load_settings(config))


def test_a_point_is_the_arm_with_other_values(config: dict[str, Any]) -> None:
    made = plan(config)
    own, arms = made.settings.arms["zo_robust"], made.arms.entries
    added = {name: arm for name, arm in arms.items() if name not in made.settings.arms}
    # Settings in the stage's order, values sorted; zo_robust itself is the point .4.
    assert list(added) == ["zo_robust.1", "zo_robust.2", "zo_robust.3"]
    values = [(arm.learning_rate, arm.beta) for arm in added.values()]
    assert values == [(0.001, 0.001), (0.001, 0.03), (0.01, 0.001)]
    assert (own.learning_rate, own.beta) == (0.01, 0.03)
    assert arms["zo_robust.2"].label == (
        "FO + ZO robustness-aware (learning_rate 0.001, beta 0.03)"
    )
    for arm in added.values():
        changed = {"learning_rate", "beta", "label", "sweep"}
        assert arm.model_dump(exclude=changed) == own.model_dump(exclude=changed)


def test_the_point_with_the_arms_own_values_is_not_made_twice(config: dict[str, Any]) -> None:
    (job,) = plan(config).sweeps.jobs
    where = type("W", (), {"model": "pocket", "seed": "0"})
    assert job.names == [f"zo_robust.{number}" for number in (1, 2, 3, 4)]
    homes = [*job.names[:3], "zo_robust"]
    assert job.weights(where) == [f"results/pocket/pocket/{n}/seed0/weights" for n in homes]


def test_the_order_of_keys_and_values_changes_no_point(config: dict[str, Any]) -> None:
    other = {"learning_rate": [0.001, 0.01], "beta": [0.03, 0.001]}
    assert plan(config).arms.entries == plan(copy.deepcopy(config), other).arms.entries


def test_a_first_order_arm_is_swept_over_words_too(config: dict[str, Any]) -> None:
    sweep = {"scheduler": ["cosine", "constant_with_warmup"], "momentum": [0, 0.5]}
    arms = plan(config, sweep, "fo").arms.entries
    points = [arms[f"fo.{number}"] for number in (2, 3, 4)]
    found = [(point.momentum, point.scheduler) for point in points]
    expected = [(0.0, "cosine"), (0.5, "constant_with_warmup"), (0.5, "cosine")]
    assert found == expected
    assert "fo.1" not in arms  # what fo is itself


def test_only_points_may_diverge(config: dict[str, Any]) -> None:
    made = plan(config, {"momentum": [0, 0.5]}, "fo")
    assert "may_diverge" not in made.arms.params(At("pocket", "fo", 0)) + made.arms.params(
        At("pocket", "zo_robust", 0)
    )
    assert "may_diverge" in made.arms.params(At("pocket", "fo.2", 0))
    assert "may_diverge" in made.arms.params(At("pocket", "zo_robust.1", 0))
    move = made.arms.entries["fo"].move
    assert made.arms.params(At("pocket", "fo", 0)) == made.params(
        "first_order", move, made.settings.data.max_length
    )


def test_nothing_else_knows_of_points(config: dict[str, Any]) -> None:
    without = copy.deepcopy(config)
    without["arms"]["zo_robust"]["sweep"] = {}
    made, plain = plan(config), Plan(load_settings(without))
    assert [job.name for job in made.evaluation.jobs] == [job.name for job in plain.evaluation.jobs]
    assert made.arms.exports() == plain.arms.exports()
    assert made.results.of_table(SimpleNamespace(table="table2")) == plain.results.of_table(
        SimpleNamespace(table="table2")
    )


def test_the_rule_of_choice_scores_nothing_again(config: dict[str, Any]) -> None:
    where = type("W", (), {"model": "pocket", "seed": "0"})
    before = plan(config).sweeps.jobs[0].params(where)
    config["sweeps"]["choose"] = "gap"
    assert plan(config).sweeps.jobs[0].params(where) == before
    config["sweeps"]["rho"] = 0.5
    assert plan(config).sweeps.jobs[0].params(where) != before


def test_points_share_jobs_as_the_config_says(config: dict[str, Any]) -> None:
    config["sweeps"]["points_per_job"] = 3
    assert [len(job.points) for job in plan(config).sweeps.jobs] == [3, 1]


def test_validation_is_under_the_middle_level_unless_told(config: dict[str, Any]) -> None:
    assert {n: p.cells for n, p in plan(config).sweeps.validation_perturbations.items()} == {
        "weight_noise": [("30", 0), ("30", 1), ("30", 2)]
    }
    config["sweeps"]["perturbations"] = {"w4a4": ["W4A4-g32"], "activation_noise": [0.2, 0.4]}
    chosen = plan(config).sweeps.validation_perturbations
    assert chosen["w4a4"].cells == [("W4A4-g32", 0)]
    assert [level for level, _ in chosen["activation_noise"].cells] == ["0.2"] * 3 + ["0.4"] * 3


def test_validation_data_change_with_their_sources(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    assert plan(config).sweeps.validation_inputs(None) == ["results/pocket/world"]
    config["data"]["validation"]["pairs"] = {"source": {"path": "pairs.json"}}
    assert plan(config).sweeps.validation_inputs(None) == ["pairs.json", "results/pocket/world"]


SWEEPS = {
    "unknown setting": (
        {"learning_rat": [0.1]},
        "arms.zo_robust.sweep: 'learning_rat' is no setting of this stage;"
        " did you mean 'learning_rate'?",
    ),
    "setting of the arm, not of the stage": (
        {"layers": ["snip"]},
        "arms.zo_robust.sweep: 'layers' is no setting of this stage",
    ),
    "out of range": (
        {"learning_rate": [0.1, -1]},
        "arms.zo_robust.sweep.learning_rate: -1 is wrong: input should be greater than 0",
    ),
    "unknown word": (
        {"scheduler": ["cosin"]},
        "arms.zo_robust.sweep.scheduler: 'cosin' is not known; did you mean 'cosine'?",
    ),
    "no values": ({"beta": []}, "arms.zo_robust.sweep.beta: [] is wrong: list should have"),
    "no list": ({"beta": 0.1}, "arms.zo_robust.sweep.beta: 0.1 is wrong: input should be"),
    "twice": (
        {"beta": [0.001, "1e-3"]},
        "arms.zo_robust.sweep: beta has the value 0.001 more than once",
    ),
    "too many": (
        {"beta": [n + 1 for n in range(13)], "directions": [1, 2, 3, 4, 5]},
        "arms.zo_robust.sweep: these values make 65 points, more than 64",
    ),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_bad_sweep_is_one_sentence(config: dict[str, Any], name: str) -> None:
    sweep, sentence = SWEEPS[name]
    with pytest.raises(HoldfastError) as error:
        plan(config, sweep)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_64_points_are_allowed(config: dict[str, Any]) -> None:
    sweep = {"beta": [n + 1 for n in range(16)], "directions": [1, 2, 3, 4]}
    assert sum(len(job.points) for job in plan(config, sweep).sweeps.jobs) == 64


SETTINGS = {
    "stored": (
        {"w4a16": ["W4A16-g32"]},
        "sweeps.perturbations.w4a16: points are scored without quantized copies",
    ),
    "none": ({"none": [""]}, "sweeps.perturbations.none: unperturbed ASR is always taken"),
    "unknown": (
        {"weight_nose": [20]},
        "sweeps.perturbations: 'weight_nose' does not exist; did you mean 'weight_noise'?",
    ),
    "unknown level": (
        {"weight_noise": [25]},
        "sweeps.perturbations.weight_noise: '25' does not exist",
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_perturbation_is_one_sentence(config: dict[str, Any], name: str) -> None:
    config["sweeps"]["perturbations"], sentence = SETTINGS[name]
    with pytest.raises(HoldfastError) as error:
        plan(config)
    assert sentence in str(error.value)


def test_a_sweep_needs_validation_data(config: dict[str, Any]) -> None:
    config["data"]["validation"] = None
    with pytest.raises(HoldfastError, match=r"data\.validation: this setting is required by"):
        plan(config)


def test_names_of_points_and_targets_are_taken(config: dict[str, Any]) -> None:
    taken = copy.deepcopy(config)
    taken["arms"]["zo_robust.2"] = taken["arms"]["zo"]
    with pytest.raises(HoldfastError, match=r"arms\.zo_robust\.2: this name is taken by a point"):
        plan(taken)
    config["tables"]["sweep_zo_robust"] = config["tables"]["table3"]
    with pytest.raises(HoldfastError, match="sweep_zo_robust: this name is taken"):
        plan(config)


def test_tables_name_the_values_used(config: dict[str, Any]) -> None:
    labels = plan(config).results.labels
    assert labels.points == {
        "zo_robust": "learning_rate 0.01, beta 0.03 (sweep: snakemake sweep_zo_robust)"
    }
    assert not [name for name in labels.arms if "." in name]


def test_a_sweep_moves_no_arm_and_evaluates_nothing_again(config: dict[str, Any]) -> None:
    without = copy.deepcopy(config)
    without["arms"]["zo_robust"]["sweep"] = None
    made, plain = plan(config), Plan(load_settings(without))
    arms = [planned.arms.entries["zo_robust"] for planned in (made, plain)]
    moves = [made.params("zeroth_order", arm.move) for arm in arms]
    assert moves[0] == moves[1]


def test_points_ask_for_the_memory_of_their_stage(config: dict[str, Any]) -> None:
    made = plan(config)
    where = type("W", (), {"model": "pocket", "seed": "0"})
    arm = made.memory.zeroth_order("pocket", "zo_robust")
    assert made.memory.zeroth_order("pocket", "zo_robust.1") == arm
    first = made.sweeps.jobs[0].mem_mb(where, 1)
    assert first >= 2 * arm.mem_mb
    assert made.sweeps.jobs[0].mem_mb(where, 2) == 2 * first
