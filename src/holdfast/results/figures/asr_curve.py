"""ASR of several arms against the strength of a perturbation: one panel a perturbation."""

from __future__ import annotations

from collections.abc import Sequence
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
from holdfast.settings.figures import AsrCurveFigure
from holdfast.settings.labels import Labels
from holdfast.statistics import Estimate
from holdfast.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = list[tuple[float, Estimate]]  # strength, from 0 on, and average ASR


def draw(
    settings: AsrCurveFigure, inputs: Inputs, out_prefix: str | Path, context: Context
) -> None:
    """Draw the figure, one panel a model and perturbation."""
    summaries, labels = inputs.summaries, context.labels
    arms = Arms(summaries)
    models = arms.models(settings.models)
    panels = [(model, name) for model in models for name in settings.perturbations]
    measured = [
        [curve(settings, arms, model, arm, name) for arm in settings.arms] for model, name in panels
    ]
    shown = [arms.find(model, arm) for model in models for arm in settings.arms]
    named = labels.model_copy(update={"arms": labels.arms | settings.labels})

    def identity(arm: str) -> tuple[tuple[str, ...], ...]:
        return tuple(cell_key(arms.find(model, arm), (name, ""), labels) for model, name in panels)

    series = series_of(settings.arms, identity, named)
    with style.canvas(len(panels), 8.0, 2.7) as (figure, axes):
        for ax, (model, name), curves in zip(axes, panels, measured, strict=True):
            of_arm = dict(zip(settings.arms, curves, strict=True))
            _panel(ax, [one.label for one in series], [of_arm[one.arm] for one in series])
            what = labels.perturbation(name)
            title = [model] if len(models) > 1 else []
            ax.set_title(printable(": ".join([*title, what.label])))
            ax.set_xlabel(printable(what.symbol))
            ax.set_ylabel(printable(settings.ylabel))
        style.legend(axes[0])
        meaningless = context.meaningless or any(summary.meaningless for summary in shown)
        notes = [_note(settings, shown[0], labels, measured)]
        notes += map(printable, same_arm_notes(shown, named))
        style.finish(figure, settings.title, " ".join(notes), meaningless)
        style.save(figure, out_prefix)


def curve(settings: AsrCurveFigure, arms: Arms, model: str, arm: str, perturbation: str) -> Curve:
    """Return an arm's average ASR, unperturbed and at each strength, ascending.

    Raises HoldfastError naming the summary or cell that is missing, or a level that is no number.
    """
    summary = arms.find(model, arm)
    require_same_behaviors(summary, arms.find(model, settings.arms[0]))
    for name in settings.metrics:
        if (metric := metric_of(summary, name)).kind != "asr":
            raise HoldfastError(f"metric '{name}' is a {metric.kind}, and curves show ASR only")
    tested = [cell for cell in summary.cells if cell.perturbation == perturbation]
    if not tested:
        raise HoldfastError(
            f"the summary of {model}/{arm} has no cells of '{perturbation}': run it again"
        )
    found = [(0.0, cells.find_cell(summary, "none", ""))]
    for cell in tested:
        try:
            found.append((float(cell.level), cell))
        except ValueError:
            raise HoldfastError(
                f"level '{cell.level}' of '{perturbation}' is no number to draw a curve over"
            ) from None
    return [
        (strength, cells.average_rate(cell, settings.metrics))
        for strength, cell in sorted(found, key=lambda one: one[0])
    ]


def _panel(ax: Axes, names: Sequence[str], curves: Sequence[Curve]) -> None:
    span = max(strength for curve in curves for strength, _ in curve)
    for index, (name, points) in enumerate(zip(names, curves, strict=True)):
        shift = (index - (len(curves) - 1) / 2) * span * 0.006  # whiskers side by side
        values = [one.value for _, one in points]
        low = [one.value - (one.low or 0.0) for _, one in points]
        high = [(one.high or 0.0) - one.value for _, one in points]
        ax.errorbar(
            [strength + shift for strength, _ in points],
            values,
            yerr=(low, high),
            label=name,
            color=style.COLORS[index],
            linestyle=style.LINES[index],
            marker=style.MARKERS[index],
            markersize=5,
            markerfacecolor="white",
            linewidth=1.6,
            elinewidth=0.9,
            capsize=2.5,
        )
    ax.set_ylim(bottom=0)
    ax.grid(axis="y")


def _note(
    settings: AsrCurveFigure,
    summary: Pooled,
    labels: Labels,
    measured: Sequence[Sequence[Curve]],
) -> str:
    judges = [metric_of(summary, name).label for name in settings.metrics]
    mean = f"Mean of {', '.join(judges)}" if len(judges) > 1 else judges[0]
    units = measured[0][0][0][1].units
    what = [labels.perturbation(name) for name in settings.perturbations]
    notes = "".join(f" {one.label}: {one.note}." for one in what if one.note)
    return printable(
        f"{mean}; lower is better. At 0: unperturbed. Whiskers: 95 % intervals over {units:,} "
        f"behaviors, as in the tables.{notes}"
    )
