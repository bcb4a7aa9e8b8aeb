"""Overlays: merged as Snakemake does, in the order of the default config, then their own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.settings.types import ConfigSettings
from snakemake.utils import update_config

from holdfast.config.load import load_files, load_settings
from holdfast.config.overlays import in_order, merged, read_config
from holdfast.errors import HoldfastError
from holdfast.plan import Plan
from places import CONFIG

VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
CONFIGS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1)
ADDITION = """
perturbations:
  w8a8:
    kind: fake_quant
    levels: {W8A8: {bits: 8, group_size: 32, activation_bits: 8, activation_group_size: 32}}
  weight_noise: {levels: [25, 20, 40, 30]}
tables:
  eight_bits:
    kind: robustness
    title: Eight bits
    metrics: [harmbench]
    sections: [{arm: fo, perturbations: [w8a8]}]
run: pocket
"""


def files(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def as_snakemake_merges(default: Path, overlays: list[Path]) -> dict[str, Any]:
    """What the Snakefile finds in `config`, which starts with the overlays."""
    above = ConfigSettings(configfiles=overlays).overwrite_config
    config = json.loads(json.dumps(above))
    update_config(config, yaml.safe_load(default.read_text()))
    update_config(config, above)
    return dict(config)


@given(CONFIGS)
def test_values_are_those_that_snakemake_merges(
    tmp_path_factory: pytest.TempPathFactory, layers: list[dict[str, Any]]
) -> None:
    paths = files(tmp_path_factory.mktemp("layers"), *map(json.dumps, layers))
    assert merged(paths) == as_snakemake_merges(paths[0], paths[1:])


def test_keys_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    paths = files(
        tmp_path,
        "arms: {original: 1, fo: {b: 1, a: 2}}\nrun: x",
        "arms: {later: 2, fo: {c: 3, a: 1}, original: 0}",
        "judges: {}\narms: {last: 4, later: 5}",
    )
    config = as_snakemake_merges(paths[0], paths[1:])
    assert list(config["arms"]) == ["later", "fo", "original", "last"]
    for values in (config, merged(paths)):
        ordered = in_order(values, [read_config(path) for path in paths])
        assert ordered == config
        assert list(ordered) == ["arms", "run", "judges"]
        assert list(ordered["arms"]) == ["original", "fo", "later", "last"]
        assert list(ordered["arms"]["fo"]) == ["b", "a", "c"]


def test_what_no_file_holds_comes_last() -> None:
    assert list(in_order({"own": 1, "b": 2, "a": 3}, [{"a": 0}, {"b": 0, "gone": 0}])) == [
        *("a", "b", "own")
    ]


def test_an_addition_leaves_the_other_jobs_as_they_were(tmp_path: Path) -> None:
    each, overlay = files(tmp_path, "perturbations_per_job: 1", ADDITION)
    before = Plan(load_files([CONFIG, each]))
    config = as_snakemake_merges(CONFIG, [each, overlay])
    assert next(iter(config["perturbations"])) == "w8a8"
    after = Plan(load_settings(config, [CONFIG, each, overlay]))
    assert list(after.settings.perturbations) == [*before.settings.perturbations, "w8a8"]
    for arm in before.settings.arms:
        old, new = (dict(evaluations(plan, arm)) for plan in (before, after))
        assert list(new)[: len(old)] == list(old)
        changed = {name for name in old if old[name] != new[name]}
        assert changed <= {("weight_noise",)}
        assert set(new) - set(old) <= {("w8a8",)}
    assert ("w8a8",) in dict(evaluations(after, "fo"))


def evaluations(plan: Plan, arm: str) -> list[tuple[tuple[str, ...], str]]:
    """Perturbations and parameters of the jobs that evaluate an arm of the embedded model."""
    processes = [
        (job, SimpleNamespace(model="pocket", arm=arm, seed=0, perturbation=name))
        for job in plan.evaluation.jobs
        if arm in job.alike
        for name in (job.perturbations if job.apart else job.perturbations[:1])
    ]
    return [(job.under(where), job.params(where)) for job, where in processes]


def test_an_overlay_that_names_old_entries_changes_no_job(tmp_path: Path) -> None:
    (overlay,) = files(
        tmp_path,
        "perturbations: {activation_noise: {draws: 3}, none: {label: Plain}}\n"
        "judges: {refusal_prefix: {label: Refusals}, harmbench: {label: HarmBench}}\n",
    )
    before = Plan(load_files([CONFIG]))
    after = Plan(load_settings(as_snakemake_merges(CONFIG, [overlay]), [CONFIG, overlay]))
    for arm in before.settings.arms:
        assert evaluations(after, arm) == evaluations(before, arm)
    assert [job.judges for job in after.judging.jobs] == [job.judges for job in before.judging.jobs]


def test_numeric_levels_are_sorted_by_number(tmp_path: Path) -> None:
    grids = "{'10': {bits: 8}, '9': {bits: 7}, '2.5': {bits: 2}}"
    named = "{W8: {bits: 8}, W3: {bits: 3}}"
    (overlay,) = files(
        tmp_path,
        "perturbations:\n"
        "  weight_noise: {levels: [100, 20, 3.5]}\n"
        f"  numbered: {{kind: fake_quant, levels: {grids}}}\n"
        f"  named: {{kind: gptq, levels: {named}}}\n",
    )
    perturbations = load_files([CONFIG, overlay]).perturbations
    levels = {name: list(dict(p.cells)) for name, p in perturbations.items()}
    assert levels["weight_noise"] == ["3.5", "20", "100"]
    assert levels["numbered"] == ["2.5", "9", "10"]
    assert levels["named"] == ["W8", "W3"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", r"1\.yaml cannot be read as YAML"),
        ("- a", r"1\.yaml must hold a dictionary"),
        ("a: &a {b: *a}", "an alias"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(HoldfastError, match=complaint):
        merged(files(tmp_path, "run: x", text))
    with pytest.raises(HoldfastError, match="cannot be read: there is no such file"):
        merged([tmp_path / "none.yaml"])
