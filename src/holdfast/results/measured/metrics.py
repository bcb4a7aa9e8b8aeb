"""What a metric is: its name, its label, which direction is better, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from holdfast.errors import HoldfastError, nearest
from holdfast.results.measured.files import Better, Kind
from holdfast.results.measured.pooling import Pooled

Tone = Literal["", "better", "worse"]

UNPARSED = "unparsed_"
UNITS = {"perplexity": "windows", "accuracy": "items"}


@dataclass(frozen=True)
class Metric:
    """One column of a table."""

    name: str
    kind: Kind
    better: Better
    label: str

    @property
    def unit(self) -> str:
        """What intervals and tests of this metric are over."""
        benign = self.name == "over_refusal"
        return UNITS.get(self.kind, "benign prompts" if benign else "behaviors")

    @property
    def judge(self) -> str:
        """What the judge of an ASR is called."""
        return self.label.removesuffix(" ASR")

    @property
    def heading(self) -> str:
        """The label with the arrow of the better direction, as the paper prints it."""
        return f"{self.label} {'↓' if self.better == 'lower' else '↑'}"


def metric_of(summary: Pooled, name: str) -> Metric:
    """Return a metric of ``summary``; raise HoldfastError when it was not measured."""
    measured = summary.metrics.get(name)
    if measured is None:
        raise HoldfastError(
            f"metric '{name}' was not measured for {summary.model}/{summary.arm}: "
            f"its summary has {', '.join(summary.metrics)}{nearest(name, summary.metrics)}"
        )
    return Metric(name, measured.kind, measured.better, measured.label)


def judges_of(summary: Pooled, wanted: Literal["all"] | Sequence[str]) -> list[Metric]:
    """Return the judges wanted; raise HoldfastError when one has judged nothing of ``summary``."""
    judged = [name for name, metric in summary.metrics.items() if metric.kind == "asr"]
    return [metric_of(summary, name) for name in (judged if wanted == "all" else wanted)]


def show(value: float, digits: int = 4) -> str:
    """Print a value with fixed decimals; huge perplexities in scientific notation."""
    text = f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.{digits}e}"
    return text.lstrip("-") if float(text) == 0 else text


def arrow(delta: float, digits: int = 4) -> str:
    """Return ↑, ↓, or → for a raw change that prints as zero."""
    if float(f"{delta:.{digits}f}") == 0:
        return "→"
    return "↑" if delta > 0 else "↓"


def tone(delta: float, better: Better, digits: int = 4) -> Tone:
    """Say whether a raw change is for the better, by the metric's direction."""
    direction = arrow(delta, digits)
    if direction == "→":
        return ""
    return "better" if (direction == "↓") == (better == "lower") else "worse"
