"""Any config is settings, or one sentence: overlays mutated at random, and files of any bytes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import fuzzed, places, told_or
from holdfast.config import HoldfastError, Settings, load_settings
from holdfast.config.overlays import laid_over, read_config
from holdfast.plan import At, Plan
from places import ROOT

CONFIGS = [
    yaml.safe_load((ROOT / "config" / name).read_text())
    for name in ("config.yaml", "paper.yaml", "real-data.yaml")
]
BASES = [CONFIGS[0], laid_over(CONFIGS[0], CONFIGS[1]), laid_over(CONFIGS[0], CONFIGS[2])]
SHELL = ["; touch x", "$(touch x)", "`touch x`", "../x", "-rf", "{x}", "{", "a b", "'", '"', "\n"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -(2**63), 0, 1, 2, 0.5, 1e308, float("nan"), float("inf"), 1e-320]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from([*SHELL, "all", "fo", "none", "pocket", "x" * 100_000, "\ud800", "\x1b[31m"]),
    st.dates(),
    st.binary(max_size=4),
)
keys = st.one_of(
    st.text(max_size=8),
    st.integers(-3, 3),
    st.sampled_from(["fo", "kind", "stage", "hub", "path", "sweep", "levels", "source", "label"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


PLACES = [places(base) for base in BASES]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A shipped config with up to three values replaced, removed, renamed or moved."""
    number = draw(st.integers(0, len(BASES) - 1))
    config = copy.deepcopy(BASES[number])
    for _ in range(draw(st.integers(1, 3))):
        *folders, last = draw(st.sampled_from(PLACES[number]))
        holder = config
        try:
            for folder in folders:
                holder = holder[folder]
            value = holder[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
        change = draw(st.sampled_from(["nudge", "replace", "remove", "rename", "copy", "add"]))
        if change == "nudge" and isinstance(value, int | float | str):
            holder[last] = value + value if value else draw(scalars)
        elif change == "replace":
            holder[last] = draw(values)
        elif change == "remove":
            del holder[last]
        elif change == "copy":
            holder[last] = draw(st.sampled_from([config, holder, [value], {"x": value}]))
        elif isinstance(holder, dict):
            holder[draw(keys)] = holder.pop(last) if change == "rename" else draw(values)
        else:
            holder.append(draw(values))
    return config


@fuzzed
@given(mutated())
def test_a_mutated_config_is_settings_or_a_sentence(config: dict[str, Any]) -> None:
    loaded = told_or(lambda: load_settings(config))
    if loaded is not None:
        assert isinstance(loaded, Settings)
        json.dumps(loaded.model_dump(mode="json"), allow_nan=False).encode()
        plan = Plan(loaded)
        for model in loaded.models:
            for arm in loaded.arms:
                assert plan.paths.home(At(model, arm, 0)).startswith("results/")


yaml_text = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="{}[]:,-&*!?|>'\"%@` \n\tab01.#~", max_size=80),
    values.map(lambda value: json.dumps(value, default=str)),
    st.sampled_from(
        [
            "a: &a {b: *a}",
            "a: &a [*a]",
            "!!python/object/apply:os.system ['touch x']",
            "a: !!python/name:os.system",
            "[" * 5000,
            "a: " + "9" * 5000,
            "a: 0x" + "f" * 5000,
            "\x00",
            "\ufeffrun: a",
            "run: a\nrun: b",
            "? [a]\n: b",
            "? {a: b}\n: c",
            "a: 2001-99-99",
            "a: !!binary '='",
            "a: !!set {x, y}",
            "a: .inf",
            "a: !!float x",
            "<<: 3",
            "a: !!int x",
            "2001-01-01: 3",
        ]
    ),
)


@fuzzed
@given(yaml_text.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=60))
def test_any_file_is_a_config_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    told_or(lambda: load_settings(read_config(path)))


def test_an_alias_within_aliases_does_not_grow_without_end() -> None:
    bomb: Any = "x"
    for _ in range(40):
        bomb = {"a": bomb, "b": bomb}
    with pytest.raises(HoldfastError, match="an alias"):
        load_settings(BASES[0] | {"utility": bomb})
