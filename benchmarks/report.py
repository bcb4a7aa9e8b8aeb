"""Results as a line in the terminal and as a table in Markdown."""

from __future__ import annotations

import datetime
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import Result

ROOT = Path(__file__).resolve().parents[1]
OPEN = "–"
HEADER = (
    "| row | Holdfast | plain | ratio | limit | held? | peak memory: Holdfast | plain | rounds "
    "| notes |\n|---|--:|--:|--:|--:|---|--:|--:|--:|---|"
)


def line(result: Result) -> str:
    """Return one result in one line of text."""
    ratio = OPEN if result.ratio is None else f"{result.ratio:.2f}"
    limit = "" if result.limit is None else f" (limit {result.limit:.2f}: {_held(result)})"
    sides = f"{quantity(result.ours, result.unit)} / {quantity(result.plain, result.unit)}"
    note = f"; {result.note}" if result.note else ""
    return f"{result.name}: {sides} = {ratio}{limit}{note}"


def table(results: Sequence[Result]) -> str:
    """Return a Markdown table of the results."""
    return "\n".join([HEADER, *map(_row, results)])


def report(sections: Mapping[str, Sequence[Result]], device: str, shape: str) -> str:
    """Return the whole page; ``sections`` holds the results by heading."""
    parts = [f"# Benchmark: {device}", _conditions(shape)]
    for heading, results in sections.items():
        parts.append(f"## {heading}\n\n{table(results)}")
    return "\n\n".join(parts) + "\n"


def slug(device: str) -> str:
    """Return a device's name as a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def quantity(value: float | None, unit: str) -> str:
    """Return seconds or bytes with three digits or so; a missing side did not fit in memory."""
    if value is None:
        return "does not fit"
    if unit == "B":
        return f"{value / 2**20:,.0f} MiB"
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def _row(result: Result) -> str:
    memory = [
        OPEN if peak is None else quantity(peak, "B")
        for peak in (result.peak_ours, result.peak_plain)
    ]
    cells = [
        result.name,
        quantity(result.ours, result.unit),
        quantity(result.plain, result.unit),
        OPEN if result.ratio is None else f"**{result.ratio:.2f}**",
        OPEN if result.limit is None else f"{result.limit:.2f}",
        _held(result),
        *memory,
        str(result.rounds),
        result.note,
    ]
    return f"| {' | '.join(cells)} |"


def _held(result: Result) -> str:
    if result.limit is None or result.ratio is None:
        return OPEN
    return "yes" if result.ratio <= result.limit else "**no**"


def _conditions(shape: str) -> str:
    return f"{shape}. {measured_on('torch', 'transformers')} [What the rows are](../README.md)."


def measured_on(*packages: str) -> str:
    """Return when, on what and with which versions something was measured."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, processor {_processor()}, "
        f"Python {platform.python_version()}, {versions}, Holdfast {version('holdfast-safety')} "
        f"({_commit()})."
    )


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    except OSError:
        return "commit unknown"
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "commit unknown"
