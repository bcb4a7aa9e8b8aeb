"""Robustness gap of arms against the size of the perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.results.figures import style
from holdfast.results.measured.around import Around, around
from holdfast.results.measured.files import Gap, models_of
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.settings.figures import GapCurveFigure
from holdfast.settings.labels import Labels
from holdfast.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DODGE = 0.15  # share of the smallest distance between two rho that the arms are spread over


def draw(
    settings: GapCurveFigure, inputs: Inputs, out_prefix: str | Path, context: Context
) -> None:
    """Draw the figure, one panel a model."""
    files, labels = inputs.gaps, context.labels
    models = models_of(Gap, files, settings.models)
    panels = [(model, around(files, model, settings.arms)) for model in models]
    with style.canvas(len(panels), 8.6, 3.6) as (figure, axes):
        for ax, (model, measured) in zip(axes, panels, strict=True):
            _panel(ax, settings, measured, labels)
            ax.set_title(printable(model))
        axes[-1].set_xlabel("Size of the perturbation, ρ, in units of the weights")
        style.legend(axes[0])
        style.finish(figure, settings.title, _note(panels[0][1]), context.meaningless)
        style.save(figure, out_prefix)


def _panel(
    ax: Axes, settings: GapCurveFigure, measured: Mapping[str, Around], labels: Labels
) -> None:
    sizes = next(iter(measured.values())).rho
    between = [high - low for low, high in pairwise(sizes)]
    spread = DODGE * min(between, default=sizes[0])
    for index, (arm, one) in enumerate(measured.items()):
        shift = spread * ((index + 0.5) / len(measured) - 0.5)
        gaps = [one.gap(size) for size in range(len(sizes))]
        half = [gap.value - (gap.value if gap.low is None else gap.low) for gap in gaps]
        ax.errorbar(
            [rho + shift for rho in sizes],
            [gap.value for gap in gaps],
            yerr=half,
            label=printable(settings.labels.get(arm, labels.arm(arm))),
            color=style.COLORS[index],
            linestyle=style.LINES[index],
            linewidth=1.6,
            marker=style.MARKERS[index],
            markersize=5.5,
            markerfacecolor="white",
            elinewidth=0.9,
            capsize=2.5,
        )
    ax.axhline(0, color=style.SOFT, linewidth=0.8, zorder=1)
    ax.set_xticks(sizes, [f"{rho:g}" for rho in sizes])
    ax.set_ylabel("Robustness gap, nats a token")
    ax.grid(axis="y")


def _note(measured: Mapping[str, Around]) -> str:
    seeds, draws = next(iter(measured.values())).gaps.shape[1:]
    over = f"{draws} draws" if seeds == 1 else f"{seeds} training seeds ({draws} draws each)"
    return (
        f"Lower is better: E f(θ + ρv) − f(θ). Bars: 95 % t interval over {over}, which all arms "
        "share, so a change between arms is more certain than the bars suggest. Points of one ρ "
        "are drawn side by side."
    )
