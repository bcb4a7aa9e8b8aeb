"""The look of all figures: color-blind safe, readable in gray, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from holdfast.files.atomic import atomic_file
from holdfast.results.tables.grid import BANNER
from holdfast.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, ordered so that neighbors differ in lightness too.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "||||", "oooo")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[Any, ...] = (
    "-", "--", (0, (4, 1.5, 1, 1.5)), (0, (1, 1.2)),
    (0, (6, 2)), (0, (3, 1, 1, 1, 1, 1)), "-", "--",
)  # fmt: skip
INK, SOFT, RULE, WARNING = "#1d2733", "#5b6875", "#d8dee5", "#8a5a00"

FONT, HANDLE, SPACING = 9.5, 2.4, 1.4  # points, and ems of a legend

_RC: Any = {
    "text.parse_math": False,  # labels are text, never formulas
    "font.family": "DejaVu Sans",
    "font.size": FONT,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "legend.handlelength": HANDLE,
    "svg.hashsalt": "holdfast",
    "svg.fonttype": "path",
}


@contextmanager
def canvas(panels: int, width: float, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure with one panel above the other (sizes in inches, ``height`` a panel)."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        figure = Figure(figsize=(width, height * panels + 0.9), layout="constrained")
        axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
        yield figure, list(axes)


def pale(color: str) -> tuple[float, float, float]:
    """Return an opaque color a third of the way to white, on which hatches and whiskers show."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - (1 - part) * 0.68 for part in to_rgb(color))
    return red, green, blue


def legend(ax: Axes) -> None:
    """Put the legend above the panel, on the right of its title, in as many columns as fit."""
    handles, names = ax.get_legend_handles_labels()
    columns = next((n for n in (4, 3, 2) if n <= len(names) and _fits(ax, names, n)), 1)
    ax.legend(
        handles,
        names,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=columns,
        borderaxespad=0.2,
        columnspacing=SPACING,
    )


def _fits(ax: Axes, names: list[str], columns: int) -> bool:
    """Say whether a legend fits beside the panel's title; lengths in points."""
    from matplotlib.textpath import TextPath

    def width(text: str, size: float) -> float:
        return float(TextPath((0, 0), text, size=size).get_extents().width) if text.strip() else 0.0

    rows, longer = divmod(len(names), columns)
    starts = [column * rows + min(column, longer) for column in range(columns + 1)]
    texts = [max(width(name, FONT) for name in names[i:j]) for i, j in pairwise(starts)]
    marks = columns * FONT * (HANDLE + 0.8) + (columns - 1) * FONT * SPACING
    # The title's column, and the axis's numbers and name on the left.
    taken = width(ax.get_title(loc="left"), 1.2 * FONT) + 72 * 1.1
    figure = ax.get_figure(root=True)
    assert figure is not None
    return sum(texts) + marks + taken <= 72 * figure.get_figwidth()


def finish(figure: Figure, title: str, note: str, meaningless: bool) -> None:
    """Add the headline, the small print, and the warning of a meaningless run."""
    letters = int(figure.get_figwidth() * 15)
    small = [*wrap(note, letters), *(wrap(BANNER, letters) if meaningless else [])]
    headline = "\n".join(wrap(printable(title), letters * 2 // 3))
    figure.suptitle(headline, x=0.012, ha="left", fontsize=12.5, fontweight="bold")
    color = WARNING if meaningless else SOFT
    figure.supxlabel("\n".join(small), x=0.012, ha="left", fontsize=8, color=color)
    if meaningless:
        for ax in figure.axes:
            ax.text(
                0.5,
                0.5,
                "NUMBERS MEAN NOTHING",
                transform=ax.transAxes,
                ha="center",
                va="center",
                rotation=10,
                fontsize=30,
                fontweight="bold",
                color=WARNING,
                alpha=0.25,
                zorder=10,
            )


def save(figure: Figure, out_prefix: str | Path) -> None:
    """Write ``<out_prefix>.svg`` and ``.png`` without dates or versions."""
    with atomic_file(f"{out_prefix}.svg") as path:
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "holdfast"})
    with atomic_file(f"{out_prefix}.png") as path:
        figure.savefig(path, format="png", dpi=160, metadata={"Software": None})
