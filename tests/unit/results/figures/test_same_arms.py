"""Figures of several arms: two that are one are drawn once, and are said to be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from pydantic import TypeAdapter

from built import write_figure
from claimed import gaps
from holdfast.results.figures import style
from holdfast.settings.figures import FigureSettings
from holdfast.settings.labels import Labels, PerturbationLabel
from small_tables import summary

ARMS = ["fo", "snip", "wanda"]
LABELS = Labels(
    arms={"fo": "FO", "snip": "SNIP", "wanda": "WANDA"},
    perturbations={"weight_noise": PerturbationLabel(label="Noise", symbol="σ")},
)
BARS = {"kind": "asr_bars", "metrics": ["harmbench"]}
CURVE = {"kind": "asr_curve", "metrics": ["harmbench"], "perturbations": ["weight_noise"]}
GAPS = {"kind": "gap_curve"}
KINDS = [BARS, CURVE, GAPS]


def arm(name: str, settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    if settings is GAPS:
        return gaps(name, [600, 700, 500, 650]) | changes
    return summary(name) | changes


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Collect what legends and small print say, and how many bars and lines there are."""
    said: dict[str, list[Any]] = {"legend": [], "note": [], "series": []}
    legend, finish = style.legend, style.finish

    def noted(figure: Any, title: str, note: str, meaningless: bool) -> None:
        said["note"].append(note)
        said["series"] += [len(axes.containers) for axes in figure.axes]
        finish(figure, title, note, meaningless)

    def listed(axes: Axes) -> None:
        said["legend"] += axes.get_legend_handles_labels()[1]
        legend(axes)

    monkeypatch.setattr(style, "finish", noted)
    monkeypatch.setattr(style, "legend", listed)
    return said


def draw(settings: dict[str, Any], run: list[Any], folder: Path) -> None:
    wanted = TypeAdapter(FigureSettings).validate_python({"title": "T", "arms": ARMS, **settings})
    write_figure("f", wanted, run, folder / "f", LABELS)


@pytest.mark.parametrize("settings", KINDS, ids=lambda kind: kind["kind"])
def test_two_arms_that_are_one_are_drawn_once(
    settings: dict[str, Any], drawn: dict[str, list[Any]], tmp_path: Path
) -> None:
    snip = arm("snip", settings)
    draw(settings, [arm("fo", settings), snip, {**snip, "arm": "wanda"}], tmp_path)
    assert drawn["legend"] == ["FO", "SNIP = WANDA"]
    assert "WANDA is the same arm as SNIP: the weights are equal." in drawn["note"][0]
    (series,) = drawn["series"]
    others = {**snip, "arm": "wanda", "weights": "others"}
    draw(settings, [arm("fo", settings), snip, others], tmp_path)
    assert drawn["legend"][2:] == ["FO", "SNIP", "WANDA"]
    assert "same arm" not in drawn["note"][1]
    assert drawn["series"][1] * 2 == series * 3


@pytest.mark.parametrize("settings", KINDS, ids=lambda kind: kind["kind"])
def test_what_is_one_arm_of_one_model_only_is_drawn_and_said(
    settings: dict[str, Any], drawn: dict[str, list[Any]], tmp_path: Path
) -> None:
    run = [arm(name, settings) for name in ARMS]
    again = [{**one, "model": "n"} for one in run]
    again[2] = {**again[1], "arm": "wanda"}
    draw(settings, run + again, tmp_path)
    assert drawn["legend"] == ["FO", "SNIP", "WANDA"]
    assert "Of n, WANDA is the same arm as SNIP" in drawn["note"][0]


def test_bars_of_their_own_ready_made_checkpoints_are_all_drawn(
    drawn: dict[str, list[Any]], tmp_path: Path
) -> None:
    partial = PerturbationLabel(label="Ready-made", partial=True)
    labels = LABELS.model_copy(update={"perturbations": {"w4a16": partial}})
    snip = summary("snip")
    wanted = TypeAdapter(FigureSettings).validate_python({"title": "T", "arms": ARMS, **BARS})
    write_figure(
        "f", wanted, [summary("fo"), snip, {**snip, "arm": "wanda"}], tmp_path / "f", labels
    )
    assert drawn["legend"] == ["FO", "SNIP", "WANDA"]
