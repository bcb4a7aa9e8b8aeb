"""`holdfast run`: which words are configs and targets, and the call of Snakemake it makes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from holdfast.commands.run import Asked, command, project_of, require_targets, understood
from holdfast.config.load import load_files
from holdfast.errors import HoldfastError
from places import CONFIG, ROOT


def test_configs_come_first_and_targets_after(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.touch()
    asked = understood(["paper", str(mine), "table2", "figure3"], ["-n"])
    assert asked.configs == [ROOT / "config" / "paper.yaml", mine]
    assert asked.targets == ["table2", "figure3"]
    assert asked.options == ["-n"]
    assert understood(["table2"], []) == Asked([], ["table2"], [])
    made = "results/pocket/judges/harmbench.agreement.json"
    assert understood([made], []).targets == [made]


@pytest.mark.parametrize(
    ("words", "options", "complaint"),
    [
        (["papr.yaml"], [], r"no config file papr\.yaml; did you mean 'paper'\?"),
        (["zzz.yaml"], [], r"no config file zzz\.yaml; shipped: attacks, evidence, paper"),
        (["table2", "paper"], [], "'paper' is a config: name it before 'table2'"),
        ([], ["--configfile", "a.yaml"], "name configs before `--`"),
    ],
)
def test_a_config_that_cannot_be_is_told(
    words: list[str], options: list[str], complaint: str
) -> None:
    with pytest.raises(HoldfastError, match=complaint):
        understood(words, options)


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("tabel2", "did you mean 'table2'"),
        ("papr", "did you mean 'paper'"),
        ("export_zo_robst", "did you mean 'export_zo_robust'"),
        ("§", r"\(targets are table1, .*figure3.*export_<arm>, sweep_<arm>.*\)$"),
    ],
)
def test_a_target_that_no_rule_has_is_told(target: str, hint: str) -> None:
    settings = load_files([CONFIG])
    with pytest.raises(HoldfastError, match=f"no config and no target '{target}'.*{hint}"):
        require_targets([target], settings)
    require_targets(["all", "table2", "figure3", "sweep_zo_robust", "results/x"], settings)


def test_no_option_takes_a_target_for_its_value() -> None:
    call = command(Asked([Path("mine.yaml")], ["table2"], ["--resources", "gpu=2"]), ROOT)
    assert call[:3] == [sys.executable, "-m", "snakemake"]
    assert call[-4:] == ["--resources", "gpu=2", "--", "table2"]
    assert call[call.index("--cores") + 1] == "all"
    assert "--cores" not in command(Asked([], [], ["-c2"]), ROOT)[:-2]
    assert "--configfile" not in command(Asked([], [], []), ROOT)


def test_a_checkouts_own_rules_are_used(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").touch()
    assert project_of(tmp_path) == ROOT
    (tmp_path / "workflow" / "rules").mkdir(parents=True)
    (tmp_path / "Snakefile").touch()
    assert project_of(tmp_path) == tmp_path
