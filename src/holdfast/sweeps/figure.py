"""Robustness gap and validation ASR of a sweep's points against the first setting swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.results.figures import style
from holdfast.settings.points import show_value
from holdfast.settings.sweeps import SweepResult
from holdfast.statistics import Estimate
from holdfast.sweeps.choice import Lost, Outcome, Scored, choose, kept
from holdfast.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (("gap", "Robustness gap, nats a token"), ("asr", "Validation ASR, perturbed"))
DODGE = 0.5  # share of the distance between two values that the lines are spread over


def draw(
    settings: SweepResult,
    models: Mapping[str, Sequence[Outcome]],
    out_prefix: str | Path,
    meaningless: bool,
) -> None:
    """Draw two panels a model: a line for each combination of the settings but the first.

    Points that diverged are named in the note; a model of which all did has no panels.
    """
    shown = {model: kept(points) for model, points in models.items() if kept(points)}
    with style.canvas(2 * len(shown), 8.6, 2.7) as (figure, axes):
        panels = [(model, *panel) for model in shown for panel in PANELS]
        for ax, (model, measure, ylabel) in zip(axes, panels, strict=True):
            _panel(ax, settings, shown[model], measure)
            ax.set_ylabel(ylabel)
            if measure == PANELS[0][0]:
                ax.set_title(printable(model))
        axes[-1].set_xlabel(printable(next(iter(settings.used))))
        _legend(axes[0], settings)
        note = _note(shown) + _missing(models)
        style.finish(figure, settings.title, note, meaningless)
        style.save(figure, out_prefix)


def _panel(ax: Axes, settings: SweepResult, points: Sequence[Scored], measure: str) -> None:
    first, *others = settings.used
    ticks = list(dict.fromkeys(show_value(point.values[first]) for point in points))
    lines: dict[str, list[Scored]] = {}
    for point in points:
        rest = ", ".join(show_value(point.values[name]) for name in others)
        lines.setdefault(rest, []).append(point)
    places: dict[str, tuple[float, float]] = {}
    for index, (label, line) in enumerate(lines.items()):
        shift = DODGE * ((index + 0.5) / len(lines) - 0.5) if len(lines) > 1 else 0.0
        at = [ticks.index(show_value(point.values[first])) + shift for point in line]
        estimates: list[Estimate] = [getattr(point, measure) for point in line]
        values = [estimate.value for estimate in estimates]
        low = [0.0 if e.low is None else e.value - e.low for e in estimates]
        high = [0.0 if e.high is None else e.high - e.value for e in estimates]
        look, turn = index % len(style.COLORS), index // len(style.COLORS)
        ax.errorbar(
            at,
            values,
            yerr=(low, high),
            label=printable(label) or None,
            color=style.COLORS[look],
            linestyle=style.LINES[look],
            linewidth=1.6,
            marker=style.MARKERS[(look + turn) % len(style.MARKERS)],
            markersize=5.5,
            markerfacecolor="white",
            elinewidth=0.9,
            capsize=2.5,
        )
        places |= {
            point.name: place
            for point, place in zip(line, zip(at, values, strict=True), strict=True)
        }
    _marks(ax, settings, points, places)
    ax.set_xticks(range(len(ticks)), ticks)
    ax.set_xlim(-0.6, len(ticks) - 0.4)
    ax.grid(axis="y")


def _marks(
    ax: Axes,
    settings: SweepResult,
    points: Sequence[Scored],
    places: Mapping[str, tuple[float, float]],
) -> None:
    """Ring the chosen point with a square and the one that the tables use with a circle."""
    chosen = choose(points, settings.choose)
    best = [chosen.name] if chosen else []
    used = [point.name for point in points if settings.is_used(point.values)]
    for names, marker, size, label in ((best, "s", 13, "chosen"), (used, "o", 17, "used")):
        for name in names:
            ax.plot(
                *places[name],
                marker,
                label=label,
                markersize=size,
                markerfacecolor="none",
                markeredgecolor=style.INK,
                markeredgewidth=1.1,
                zorder=4,
            )


def _legend(ax: Axes, settings: SweepResult) -> None:
    """Put the legend on the right, lines first, under the names of the settings they stand for."""
    handles, names = ax.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda index: names[index] in ("chosen", "used"))
    ax.legend(
        [handles[index] for index in order],
        [names[index] for index in order],
        title=printable(",\n".join(list(settings.used)[1:])),
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        labelspacing=0.8,
        alignment="left",
    )


def _note(models: Mapping[str, Sequence[Scored]]) -> str:
    first = next(iter(models.values()))[0]
    return (
        f"Lower is better. Bars: 95 % t interval over {len(first.gaps)} draws of the noise, which "
        f"all points share (gap), and Wilson interval over {len(first.looks[0])} behaviors (ASR). "
        "Points of one value are drawn side by side."
    )


def _missing(models: Mapping[str, Sequence[Outcome]]) -> str:
    """Name the points that diverged."""
    lost = [
        f"{model} {point.name}"
        for model, points in models.items()
        for point in points
        if isinstance(point, Lost)
    ]
    return f" Not shown, since they diverged: {', '.join(lost)}." if lost else ""
