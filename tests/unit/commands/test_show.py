"""What `holdfast show` prints, and its mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from holdfast.__main__ import main
from holdfast.commands.show import overview
from holdfast.errors import HoldfastError


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("tables/table2.txt", "sweeps/zo.txt", "sweeps/fo.1.txt", "figures/figure3.svg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"What {path.stem} says\n")
    return tmp_path


def test_a_table_is_followed_by_the_places_of_everything(results: Path) -> None:
    first, _, tables, figures, sweeps = overview(results, "table2").splitlines()
    assert first == "What table2 says"
    assert tables.startswith(f"Tables   {results}/tables/")
    assert figures.startswith(f"Figures  {results}/figures/")
    assert sweeps.startswith(f"Sweeps   {results}/sweeps/")
    assert [line.endswith(": table2)") for line in (tables, figures, sweeps)] == [1, 0, 0]
    assert sweeps.endswith(": fo.1, zo)")
    for path in (results / "sweeps").iterdir():
        path.unlink()
    assert "Sweeps" not in overview(results, "table2")


def test_a_sweep_is_printed_instead_of_a_table(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "tables" / "table2.txt").unlink()  # a sweep needs no table
    monkeypatch.setattr(sys, "argv", ["holdfast", "show", str(results), "--sweep", "zo"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert printed.startswith("What zo says\n")
    assert "Tables" not in printed


def test_a_sweep_that_is_not_there_is_named(results: Path) -> None:
    with pytest.raises(HoldfastError, match=r"no sweep 'fo1'; did you mean 'fo\.1'\?"):
        overview(results, "table2", sweep="fo1")
    with pytest.raises(HoldfastError, match=r"no sweep 'snip'; it has: fo\.1, zo"):
        overview(results, "table2", sweep="snip")
    with pytest.raises(HoldfastError, match="leave out --published"):
        overview(results, "table2", sweep="zo", published=True)


def test_a_table_and_a_sweep_at_once_are_refused(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["show", str(results), "--table", "table7", "--sweep", "zo"]
    monkeypatch.setattr(sys, "argv", ["holdfast", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert "not allowed with" in capsys.readouterr().err
