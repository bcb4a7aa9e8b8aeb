"""Figures: what they draw, how they look without color, and the same bytes every time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pydantic import TypeAdapter

from built import arms_of, inputs_of, pooled, write_figure
from holdfast import statistics
from holdfast.errors import HoldfastError
from holdfast.results.figures import (
    asr_bars,
    asr_curve,
    layer_scores,
    loss_curve,
    style,
)
from holdfast.results.measured import cells
from holdfast.settings.figures import FigureSettings, ScoreSeries
from holdfast.settings.labels import Labels, PerturbationLabel

JUDGES = ("harmbench", "llamaguard", "refusal_prefix")
HOSTILE = "--> <script>alert(1)</script> $x$ & \x1b[31m"


def summary(arm: str, **changes: Any) -> Any:
    rng = random.Random(arm)  # noqa: S311
    rows = []
    for perturbation, level, draws in (("none", "", 1), ("weight_noise", "2", 3)):
        outcomes = {
            judge: ["".join("01"[rng.random() < 0.3] for _ in range(30)) for _ in range(draws)]
            for judge in JUDGES
        }
        rows.append({"perturbation": perturbation, "level": level, "draws": draws})
        rows[-1] |= {"noise_seeds": [], "outcomes": outcomes}
    metrics = {judge: {"kind": "asr", "better": "lower", "label": judge} for judge in JUDGES}
    base = {"model": "m", "arm": arm, "seed": 0, "behaviors_sha256": "s", "meaningless": False}
    base |= {"schema": 2, "weights": f"weights of {arm}", "behaviors": 30}
    base |= {"versions": {}, "dtype": "float32"}
    return {**base, "metrics": metrics, "cells": rows, **changes}


def selection(name: str, scores: dict[str, list[float]], **changes: Any) -> Any:
    base = {"selection": name, "model": "m", "arm": "fo", "seed": 0, "layers": 4, "top": [3, 1]}
    return {**base, "scores": scores, "standard_errors": {}, "rank_stability": None, **changes}


def figure(**values: Any) -> Any:
    return TypeAdapter(FigureSettings).validate_python({"title": "T", **values})


def bars(**changes: Any) -> Any:
    return figure(**{"kind": "asr_bars", "arms": ["fo", "zo"], "metrics": list(JUDGES), **changes})


def lines(**changes: Any) -> Any:
    series = [
        {"selection": "snip", "score": "snip", "label": "SNIP"},
        {"selection": "robustness", "score": "noise", "label": "Perturbation"},
    ]
    return figure(**{"kind": "layer_scores", "arm": "fo", "series": series, **changes})


def history(arm: str, seed: int = 0, *, steps: int = 100) -> Any:
    rng = random.Random(f"{arm} {seed}")  # noqa: S311
    rows = [
        {
            "step": step,
            "loss": 2.5 * 0.98**step + rng.random() / 4,
            "tokens": 900,
            "learning_rate": 0.01 * (1 - step / steps),
            "gradient_norm": 1.0,
        }
        for step in range(steps)
    ]
    return {"model": "m", "arm": arm, "seed": seed, "steps": rows}


def curves(**changes: Any) -> Any:
    return figure(**{"kind": "loss_curve", "arms": ["fo", "fo_long"], **changes})


RUN = [summary("fo"), summary("zo")]
SCORES = [
    selection("snip", {"snip": [1.0, 3.0, 2.0, 5.0]}),
    selection("robustness", {"noise": [4, 2, 1, 0]}, standard_errors={"noise": [1, 2, 0, 0]}),
]

TRAINED = [history("fo"), history("fo", 1), history("fo_long", steps=110)]


@pytest.mark.parametrize(
    ("settings", "inputs"), [(bars(), RUN), (lines(), SCORES), (curves(), TRAINED)]
)
def test_bytes_are_the_same_every_time(settings: Any, inputs: list[Any], tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_figure("f", settings, inputs, tmp_path / name)
    for suffix in (".svg", ".png"):
        first = (tmp_path / "one").with_suffix(suffix).read_bytes()
        assert first == (tmp_path / "two").with_suffix(suffix).read_bytes()
    svg = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in svg


def test_bars_are_the_mean_over_judges_with_cluster_intervals() -> None:
    columns, estimates = asr_bars.bars(bars(), arms_of(RUN), "m", Labels())
    assert columns == [("none", ""), ("weight_noise", "2")]
    outcomes = RUN[1]["cells"][1]["outcomes"]
    looks = np.array([[[int(c) for c in draw] for draw in outcomes[judge]] for judge in JUDGES])
    expected = statistics.rate(looks.sum(axis=0), len(JUDGES))  # each draw is a repeat
    found = estimates[1][1]
    assert found.value == pytest.approx(looks.mean())
    assert (found.low, found.high) == (expected.low, expected.high)
    assert (found.units, found.draws) == (30, 3)


def test_one_judge_alone_is_its_rate() -> None:
    cell = pooled(RUN[0], draws="fixed").cells[1]
    alone = cells.average_rate(cell, ["harmbench"])
    assert alone == statistics.rate(*cells.counts(cell, "harmbench"))


def test_lines_are_min_max_normalized_with_errors_on_the_same_scale() -> None:
    series = ScoreSeries(selection="robustness", score="noise", label="P")
    line = layer_scores.line("fo", "m", series, inputs_of(SCORES).selections)
    assert line.values.tolist() == [1.0, 0.5, 0.25, 0.0]
    assert line.errors is not None
    assert line.errors.tolist() == [0.25, 0.5, 0.0, 0.0]
    assert line.top == (3, 1)


def test_seeds_of_a_selection_are_averaged() -> None:
    one = selection("r", {"noise": [0, 4, 0, 0]}, standard_errors={"noise": [3, 3, 3, 3]})
    two = selection("r", {"noise": [0, 8, 6, 0]}, standard_errors={"noise": [4, 4, 4, 4]}, seed=1)
    series = ScoreSeries(selection="r", score="noise", label="P")
    line = layer_scores.line("fo", "m", series, inputs_of([one, two]).selections)
    assert line.values.tolist() == [0.0, 1.0, 0.5, 0.0]
    assert line.errors is not None
    assert line.errors.tolist() == pytest.approx([2.5 / 6] * 4)


def test_a_constant_score_is_a_line_of_zeros() -> None:
    series = ScoreSeries(selection="snip", score="snip", label="S")
    constant = inputs_of([selection("snip", {"snip": [2.0] * 4})]).selections
    line = layer_scores.line("fo", "m", series, constant)
    assert line.values.tolist() == [0.0] * 4


@pytest.mark.parametrize("window", [1, 2, 9, 300])
def test_smooth_loss_is_the_average_around_each_step(window: int) -> None:
    histories = inputs_of(TRAINED).histories
    found = loss_curve.curve(curves(window=window), "m", "fo", histories, Labels())
    raw = [[step["loss"] for step in one["steps"]] for one in TRAINED[:2]]
    assert found.losses.tolist() == raw
    mean = np.mean(raw, axis=0)
    behind, ahead = window // 2, (window - 1) // 2
    around = [mean[max(0, at - behind) : at + ahead + 1].mean() for at in range(len(mean))]
    assert found.smooth.tolist() == pytest.approx(around)
    assert found.rates[0] == 0.01


def test_marks_differ_without_color() -> None:
    assert len(set(style.HATCHES)) == len(set(style.MARKERS)) == len(set(style.COLORS)) == 8
    grey = [np.dot((0.299, 0.587, 0.114), style.pale(color)) for color in style.COLORS[:3]]
    assert min(abs(a - b) for i, a in enumerate(grey) for b in grey[:i]) > 0.03


def test_hostile_labels_stay_text(tmp_path: Path) -> None:
    for settings, inputs in (
        (bars(title=HOSTILE, labels={"fo": HOSTILE}, ylabel=HOSTILE), RUN),
        (curves(title=HOSTILE, labels={"fo": HOSTILE}), TRAINED),
    ):
        write_figure("f", settings, inputs, tmp_path / "f")
        tree = ElementTree.parse(tmp_path / "f.svg")  # noqa: S314
        assert not [element for element in tree.iter() if element.tag.endswith("script")]


@pytest.mark.parametrize("meaningless", [True, False])
def test_a_meaningless_run_says_so(meaningless: bool, tmp_path: Path) -> None:
    run = [summary("fo", meaningless=meaningless), summary("zo")]
    write_figure("bars", bars(), run, tmp_path / "bars")
    write_figure("lines", lines(), SCORES, tmp_path / "lines", meaningless=meaningless)
    write_figure("curves", curves(), TRAINED, tmp_path / "curves", meaningless=meaningless)
    for name in ("bars", "lines", "curves"):
        svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert ("NUMBERS MEAN NOTHING" in svg) == meaningless


@pytest.mark.parametrize(
    ("settings", "inputs", "message"),
    [
        (bars(), RUN[:1], "figure 'f': the summary.json of model 'm', arm 'zo' is missing"),
        (bars(levels={"weight_noise": [9]}), RUN, "no cell 'weight_noise 9'"),
        (bars(metrics=["harmbnch"]), RUN, "did you mean 'harmbench'"),
        (bars(), [RUN[0], summary("zo", behaviors_sha256="t")], "different behaviors"),
        (lines(), SCORES[:1], "selection.json of model 'm', arm 'fo', selection 'robustness'"),
        (lines(), [], "there is no selection.json"),
        (curves(), TRAINED[:2], "figure 'f': the history.json of model 'm', arm 'fo_long' is miss"),
        (curves(), [], "there is no history.json"),
        (
            lines(series=[{"selection": "snip", "score": "snap", "label": "S"}]),
            SCORES,
            "no score 'snap': it has snip; did you mean 'snip'",
        ),
    ],
)
def test_missing_input_is_named(
    settings: Any, inputs: list[Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(HoldfastError, match=message):
        write_figure("f", settings, inputs, tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_bars_that_only_some_arms_have_are_left_out() -> None:
    column = RUN[0]["cells"][-1]["perturbation"]
    less = {**RUN[1], "cells": [c for c in RUN[1]["cells"] if c["perturbation"] != column]}
    partial = Labels(perturbations={column: PerturbationLabel(label="R", partial=True)})
    columns, estimates = asr_bars.bars(bars(), arms_of([RUN[0], less]), "m", partial)
    assert column not in {name for name, _ in columns}
    assert {len(row) for row in estimates} == {len(columns)}
    with pytest.raises(HoldfastError, match="no cell"):
        asr_bars.bars(bars(), arms_of([RUN[0], less]), "m", Labels())


def attacked(arm: str) -> Any:
    made = summary(arm)
    none, noisy = made["cells"]
    strengths = [{**noisy, "level": level} for level in ("20", "5", "100")]
    return {**made, "cells": [none, *strengths]}


def strengths(**changes: Any) -> Any:
    plain = {"kind": "asr_curve", "arms": ["fo", "zo"], "metrics": list(JUDGES)}
    return figure(**plain | {"perturbations": ["weight_noise"]} | changes)


def test_a_curve_starts_unperturbed_and_ascends() -> None:
    arms = arms_of([attacked("fo")])
    points = asr_curve.curve(strengths(arms=["fo"]), arms, "m", "fo", "weight_noise")
    assert [strength for strength, _ in points] == [0, 5, 20, 100]
    found = arms.find("m", "fo")
    for (_, estimate), place in zip(points, (("none", ""), ("weight_noise", "5")), strict=False):
        assert estimate == cells.average_rate(cells.find_cell(found, *place), JUDGES)


def test_curves_are_drawn_with_hostile_names(tmp_path: Path) -> None:
    labels = Labels(arms={"fo": HOSTILE}, perturbations={"weight_noise": named(HOSTILE)})
    for prefix in ("a", "b"):
        inputs = [attacked("fo"), attacked("zo")]
        write_figure("f", strengths(), inputs, tmp_path / prefix, labels)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert not list(ElementTree.parse(tmp_path / "a.svg").iter("script"))  # noqa: S314


def test_levels_without_a_number_have_no_curve() -> None:
    made = attacked("fo")
    made["cells"][1] = {**made["cells"][1], "level": "W4"}
    with pytest.raises(HoldfastError, match="level 'W4' of 'weight_noise' is no number"):
        asr_curve.curve(strengths(arms=["fo"]), arms_of([made]), "m", "fo", "weight_noise")
    with pytest.raises(HoldfastError, match="has no cells of 'finetune'"):
        asr_curve.curve(strengths(arms=["fo"]), arms_of([made]), "m", "fo", "finetune")


def named(label: str) -> PerturbationLabel:
    return PerturbationLabel(label=label, symbol="σ")


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["FO", "ZO"], 2),
        (["FO", "FO + ZO", "LoX", "FO 110", "Random"], 4),
        ([f"FO + a repair with quite a long name {n}" for n in range(7)], 2),
        ([f"FO + a repair with a name so long that one fills all {'m' * n}" for n in range(9)], 1),
    ],
)
def test_a_legend_has_the_columns_that_fit(names: list[str], columns: int) -> None:
    with style.canvas(1, 8.6, 3.6) as (figure, axes):
        canvas = FigureCanvasAgg(figure)
        for name in names:
            axes[0].plot([0, 1], [0, 1], label=name)
        axes[0].set_title("pocket")
        style.legend(axes[0])
        canvas.draw()
        legend, title = axes[0].get_legend(), axes[0]._left_title
        assert legend is not None
        assert legend._ncols == columns
        assert legend.get_window_extent().x0 >= title.get_window_extent().x1
        assert legend.get_window_extent().x1 <= figure.bbox.x1
