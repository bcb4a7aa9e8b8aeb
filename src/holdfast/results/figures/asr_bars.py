"""ASR of several arms under each perturbation (Figures 3 and 4 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError
from holdfast.results.figures import style
from holdfast.results.figures.series import series_of
from holdfast.results.measured import cells
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import metric_of
from holdfast.results.measured.pooling import Pooled
from holdfast.results.measured.runs import Arms, require_same_behaviors
from holdfast.results.measured.same_arms import cell_key, same_arm_notes
from holdfast.settings.cells import level_name
from holdfast.settings.figures import AsrBarsFigure
from holdfast.settings.labels import Labels
from holdfast.statistics import Estimate
from holdfast.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# One model's bars: (perturbation, level) of each group, and each arm's estimates in that order.
Bars = tuple[list[tuple[str, str]], list[list[Estimate]]]


def draw(settings: AsrBarsFigure, inputs: Inputs, out_prefix: str | Path, context: Context) -> None:
    """Draw the figure, one panel a model."""
    summaries, labels = inputs.summaries, context.labels
    arms = Arms(summaries)
    models = arms.models(settings.models)
    measured = [bars(settings, arms, model, labels) for model in models]
    groups = max(len(columns) for columns, _ in measured)
    named = labels.model_copy(update={"arms": labels.arms | settings.labels})

    def identity(arm: str) -> tuple[tuple[str, ...], ...]:
        return tuple(
            cell_key(arms.find(model, arm), place, labels)
            for model, (columns, _) in zip(models, measured, strict=True)
            for place in columns
        )

    series = series_of(settings.arms, identity, named)
    width = min(13.0, max(8.0, 1.4 + groups * (0.28 * len(series) + 0.35)))
    shown = [arms.find(model, arm) for model in models for arm in settings.arms]
    with style.canvas(len(models), width, 3.1) as (figure, axes):
        for ax, model, (columns, estimates) in zip(axes, models, measured, strict=True):
            of_arm = dict(zip(settings.arms, estimates, strict=True))
            drawn = [of_arm[one.arm] for one in series]
            _panel(ax, [one.label for one in series], columns, drawn, labels)
            ax.set_title(printable(model))
            ax.set_ylabel(printable(settings.ylabel))
        style.legend(axes[0])
        meaningless = context.meaningless or any(summary.meaningless for summary in shown)
        notes = [_note(settings, shown, measured), *map(printable, same_arm_notes(shown, named))]
        style.finish(figure, settings.title, " ".join(notes), meaningless)
        style.save(figure, out_prefix)


def bars(settings: AsrBarsFigure, arms: Arms, model: str, labels: Labels) -> Bars:
    """Return one model's bars; raise HoldfastError naming the summary or cell that is missing.

    What only some arms have is shown where all these arms have it.
    """
    first = arms.find(model, settings.arms[0])
    for name in settings.metrics:
        if (metric := metric_of(first, name)).kind != "asr":
            raise HoldfastError(f"metric '{name}' is a {metric.kind}, and bars show ASR only")
    chosen = cells.select(first, settings.perturbations, settings.levels, labels)
    columns = [(cell.perturbation, level_name(cell.level)) for cell in chosen]
    everyone = [arms.find(model, arm) for arm in settings.arms]
    columns = [
        column
        for column in columns
        if all(cells.cell_if_any(summary, *column, labels) is not None for summary in everyone)
    ]
    estimates = []
    for summary in everyone:
        require_same_behaviors(summary, first)
        found = [cells.find_cell(summary, *column) for column in columns]
        estimates.append([cells.average_rate(cell, settings.metrics) for cell in found])
    return columns, estimates


def _panel(
    ax: Axes,
    names: Sequence[str],
    columns: Sequence[tuple[str, str]],
    estimates: Sequence[Sequence[Estimate]],
    labels: Labels,
) -> None:
    width = 0.82 / len(names)
    for index, (name, row) in enumerate(zip(names, estimates, strict=True)):
        shift = (index - (len(names) - 1) / 2) * width
        values = [one.value for one in row]
        low = [one.value - (one.low or 0.0) for one in row]
        high = [(one.high or 0.0) - one.value for one in row]
        ax.bar(
            [place + shift for place in range(len(columns))],
            values,
            width * 0.92,
            yerr=(low, high),
            label=name,
            color=style.pale(style.COLORS[index]),
            edgecolor=style.INK,
            linewidth=0.8,
            hatch=style.HATCHES[index],
            error_kw={"ecolor": style.INK, "elinewidth": 1.0, "capsize": 2.5},
        )
    kinds = [printable(labels.perturbation(name).label) for name, _ in columns]
    ticks = [
        printable(labels.level(*column)) if column[1] else kind
        for column, kind in zip(columns, kinds, strict=True)
    ]
    ax.set_xticks(range(len(columns)), ticks)
    _groups(ax, [kind if level else "" for kind, (_, level) in zip(kinds, columns, strict=True)])
    ax.tick_params(axis="x", length=0)
    ax.margins(x=0.02)
    ax.set_ylim(bottom=0)
    ax.grid(axis="y")


def _groups(ax: Axes, names: Sequence[str]) -> None:
    """Write each perturbation once, under its levels, and part it from the next."""
    start = 0
    for name, members in groupby(names):
        end = start + len(list(members))
        label = "\n".join(name.split(" ")) if end - start == 1 else name
        ax.annotate(
            label,
            ((start + end - 1) / 2, 0),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, -19),
            textcoords="offset points",
            ha="center",
            va="top",
        )
        if end < len(names):
            ax.axvline(end - 0.5, color=style.RULE, linewidth=0.8)
        start = end


def _note(settings: AsrBarsFigure, shown: Sequence[Pooled], measured: Sequence[Bars]) -> str:
    judges = [metric_of(shown[0], name).label for name in settings.metrics]
    rows = [one for _, estimates in measured for row in estimates for one in row]
    draws = sorted({one.draws for one in rows})
    looks = f"{draws[0]}" if len(draws) == 1 else f"{draws[0]} to {draws[-1]}"
    mean = f"Mean of {', '.join(judges)}" if len(judges) > 1 else judges[0]
    seeds = len(shown[0].seeds)
    over = f" and {seeds} training seeds" if seeds > 1 else ""
    if seeds == 1:
        over = f" and {looks} noise draws" if draws[-1] > 1 else ", given one draw"
    return printable(
        f"{mean}; lower is better. Whiskers: 95 % cluster-adjusted Wilson intervals over "
        f"{rows[0].units:,} behaviors{over}."
    )
