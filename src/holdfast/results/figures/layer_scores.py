"""Layer scores of several selections, min-max normalized (Figure 2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError, nearest
from holdfast.results.figures import style
from holdfast.results.measured.files import ChosenLayers, models_of, of_arm
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.settings.figures import LayerScoresFigure, ScoreSeries
from holdfast.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Line:
    """One normalized line: ``values`` and ``errors`` of shape (layers,)."""

    label: str
    values: NDArray[np.float64]
    errors: NDArray[np.float64] | None
    top: tuple[int, ...]


def draw(
    settings: LayerScoresFigure, inputs: Inputs, out_prefix: str | Path, context: Context
) -> None:
    """Draw the figure, one panel a model."""
    selections = inputs.selections
    models = models_of(ChosenLayers, selections, settings.models)
    panels = [
        (m, [line(settings.arm, m, one, selections) for one in settings.series]) for m in models
    ]
    with style.canvas(len(panels), 8.6, 3.0) as (figure, axes):
        for ax, (model, lines) in zip(axes, panels, strict=True):
            _panel(ax, model, lines)
        axes[-1].set_xlabel("Decoder layer")
        style.legend(axes[0])
        note = "Filled: layers the selection chose. Bars: ± one standard error over draws."
        style.finish(figure, settings.title, note, context.meaningless)
        style.save(figure, out_prefix)


def line(arm: str, model: str, series: ScoreSeries, selections: Sequence[ChosenLayers]) -> Line:
    """Return one normalized line, averaged over seeds; errors shrink by the same range.

    Raises HoldfastError naming the selection or score that is missing. A constant score has no
    range: its line is zero.
    """
    chosen = [file for file in selections if file.selection == series.selection]
    seeds = of_arm(ChosenLayers, chosen, model, arm, f", selection '{series.selection}'")
    for seed in seeds:
        if series.score not in seed.scores:
            raise HoldfastError(
                f"selection '{series.selection}' has no score '{series.score}': it has "
                f"{', '.join(seed.scores)}{nearest(series.score, seed.scores)}"
            )
    scores = np.asarray([seed.scores[series.score] for seed in seeds], np.float64).mean(axis=0)
    errors = [seed.standard_errors.get(series.score) for seed in seeds]
    low, spread = float(scores.min()), float(np.ptp(scores)) or 1.0
    scaled = None
    if all(error is not None for error in errors):
        squares = np.square(np.asarray(errors, dtype=np.float64))
        scaled = np.sqrt(squares.sum(axis=0)) / len(seeds) / spread
    top = tuple(seeds[0].top) if len(seeds) == 1 else ()
    return Line(series.label, (scores - low) / spread, scaled, top)


def _panel(ax: Axes, title: str, lines: Sequence[Line]) -> None:
    from matplotlib.ticker import MaxNLocator

    for index, one in enumerate(lines):
        color, marker = style.COLORS[index], style.MARKERS[index]
        layers = np.arange(len(one.values))
        ax.errorbar(
            layers,
            one.values,
            yerr=one.errors,
            label=printable(one.label),
            color=color,
            linestyle=style.LINES[index],
            linewidth=1.6,
            marker=marker,
            markersize=4.6,
            markerfacecolor="white",
            elinewidth=0.9,
            capsize=2,
        )
        chosen = sorted(one.top)
        ax.plot(chosen, one.values[chosen], marker, color=color, markersize=7.5, zorder=5)
    ax.set_title(printable(title))
    ax.set_ylabel("Score, min–max normalized")
    ax.grid(axis="y")
    ax.set_xlim(-0.6, max(len(one.values) for one in lines) - 0.4)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=16, integer=True))
