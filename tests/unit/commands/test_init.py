"""`holdfast init`: a whole config to start from, which overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.commands.init import write_start
from holdfast.config.load import load_files
from holdfast.errors import HoldfastError
from places import CONFIG


def test_what_is_written_loads_and_holds_one_table(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    write_start(mine)
    settings = load_files([CONFIG, mine])
    assert list(settings.models) == ["yours"]
    assert (list(settings.tables), list(settings.figures)) == (["holds"], [])
    assert not settings.pocket_judges
    assert list(settings.perturbations) == ["none", "w4a4", "weight_noise", "activation_noise"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("run: precious\n")
    with pytest.raises(HoldfastError, match=r"mine\.yaml is there already"):
        write_start(mine)
    assert mine.read_text() == "run: precious\n"
    with pytest.raises(HoldfastError, match="cannot be written: No such file or directory"):
        write_start(tmp_path / "nowhere" / "mine.yaml")
