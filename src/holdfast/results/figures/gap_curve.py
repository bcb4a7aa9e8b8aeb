"""Robustness gap of arms against the size of the perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.results.figures import style
from holdfast.results.figures.series import Series, series_of
from holdfast.results.measured.around import Around, around
from holdfast.results.measured.files import Gap, models_of
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.same_arms import same_arm_notes
from holdfast.settings.figures import GapCurveFigure
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
    named = labels.model_copy(update={"arms": labels.arms | settings.labels})

    def identity(arm: str) -> tuple[tuple[str, ...], ...]:
        return tuple(measured[arm].weights for _, measured in panels)

    series = series_of(settings.arms, identity, named)
    shown = [arm for _, measured in panels for arm in measured.values()]
    with style.canvas(len(panels), 8.6, 3.6) as (figure, axes):
        for ax, (model, measured) in zip(axes, panels, strict=True):
            _panel(ax, series, measured)
            ax.set_title(printable(model))
        axes[-1].set_xlabel("Size of the perturbation, ρ, in units of the weights")
        style.legend(axes[0])
        notes = [_note(panels[0][1]), *map(printable, same_arm_notes(shown, named))]
        style.finish(figure, settings.title, " ".join(notes), context.meaningless)
        style.save(figure, out_prefix)


def _panel(ax: Axes, series: Sequence[Series], measured: Mapping[str, Around]) -> None:
    sizes = next(iter(measured.values())).rho
    between = [high - low for low, high in pairwise(sizes)]
    spread = DODGE * min(between, default=sizes[0])
    for index, one in enumerate(series):
        shift = spread * ((index + 0.5) / len(series) - 0.5)
        gaps = [measured[one.arm].gap(size) for size in range(len(sizes))]
        half = [gap.value - (gap.value if gap.low is None else gap.low) for gap in gaps]
        ax.errorbar(
            [rho + shift for rho in sizes],
            [gap.value for gap in gaps],
            yerr=half,
            label=one.label,
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
