"""Loss and learning rate of first-order training, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from holdfast.results.figures import style
from holdfast.results.measured.files import History, models_of, of_arm
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.settings.figures import LossCurveFigure
from holdfast.settings.labels import Labels
from holdfast.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Curve:
    """One arm: ``losses`` of shape (seeds, steps), ``smooth`` and ``rates`` of shape (steps,)."""

    label: str
    losses: NDArray[np.float64]
    smooth: NDArray[np.float64]
    rates: NDArray[np.float64]


def draw(
    settings: LossCurveFigure, inputs: Inputs, out_prefix: str | Path, context: Context
) -> None:
    """Draw the figure, one panel a model."""
    histories, labels = inputs.histories, context.labels
    models = models_of(History, histories, settings.models)
    panels = [
        (m, [curve(settings, m, arm, histories, labels) for arm in settings.arms]) for m in models
    ]
    with style.canvas(len(panels), 8.6, 3.9) as (figure, axes):
        for ax, (model, curves) in zip(axes, panels, strict=True):
            _panel(ax, curves)
            ax.set_title(printable(model))
        style.legend(axes[0])
        style.finish(figure, settings.title, _note(settings, panels), context.meaningless)
        style.save(figure, out_prefix)


def curve(
    settings: LossCurveFigure, model: str, arm: str, histories: Sequence[History], labels: Labels
) -> Curve:
    """Return one arm's curve; raise HoldfastError naming the history that is missing."""
    seeds = of_arm(History, histories, model, arm)
    losses = np.asarray([[step.loss for step in seed.steps] for seed in seeds], np.float64)
    return Curve(
        settings.labels.get(arm, labels.arm(arm)),
        losses,
        moving_average(losses.mean(axis=0), settings.window),
        np.asarray([step.learning_rate for step in seeds[0].steps], np.float64),
    )


def moving_average(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Average each value with its neighbors, ``window`` of them in the middle, fewer at the ends.

    A window of even length reaches one further back than ahead.
    """
    totals = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first = np.maximum(places - window // 2, 0)
    last = np.minimum(places + (window - 1) // 2 + 1, len(values))
    averages: NDArray[np.float64] = (totals[last] - totals[first]) / (last - first)
    return averages


def _panel(ax: Axes, curves: Sequence[Curve]) -> None:
    from matplotlib.ticker import MaxNLocator

    rate = ax.inset_axes((0.0, -0.36, 1.0, 0.24), sharex=ax)
    for index, one in enumerate(curves):
        color, line = style.COLORS[index], style.LINES[index]
        steps = np.arange(1, len(one.smooth) + 1)
        for losses in one.losses:
            ax.plot(steps, losses, color=style.pale(color), linewidth=0.7, zorder=1)
        ax.plot(
            steps,
            one.smooth,
            label=printable(one.label),
            color=color,
            linestyle=line,
            linewidth=1.8,
            marker=style.MARKERS[index],
            markersize=4.6,
            markerfacecolor="white",
            markevery=(index * len(steps) // 40, max(1, len(steps) // 10)),
            zorder=2,
        )
        rate.plot(steps, one.rates, color=color, linestyle=line, linewidth=1.2)
    ax.set_ylabel("Loss, nats a token")
    ax.grid(axis="y")
    ax.tick_params(axis="x", labelbottom=False)
    rate.set_ylabel("Rate")
    peak = max(float(one.rates.max()) for one in curves) or 1.0  # a lone warm-up step has rate 0
    rate.set_yticks([0, peak], ["0", f"{peak:.3g}"])
    rate.set_ylim(0, 1.15 * peak)
    rate.set_xlabel("Optimizer step")
    rate.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))


def _note(settings: LossCurveFigure, panels: Sequence[tuple[str, Sequence[Curve]]]) -> str:
    seeds = max(len(one.losses) for _, curves in panels for one in curves)
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    return (
        "Thin: loss on each step's samples before it. Thick: moving average over "
        f"{settings.window} step{'' if settings.window == 1 else 's'}{mean}. Below: learning rate."
    )
