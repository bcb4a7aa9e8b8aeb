"""From one cell of a summary to its estimate, and from two cells to the change between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from holdfast import statistics
from holdfast.errors import HoldfastError
from holdfast.results.measured.metrics import UNPARSED, Metric
from holdfast.results.measured.pooling import Cell, Pooled
from holdfast.settings.cells import level_name
from holdfast.settings.labels import Labels
from holdfast.statistics import (
    Change,
    Counts,
    Estimate,
    Floats,
)


def find_cell(summary: Pooled, perturbation: str, level: str) -> Cell:
    """Return the summary's cell; raise HoldfastError naming what is missing."""
    for cell in summary.cells:
        if cell.perturbation == perturbation and level_name(cell.level) == level_name(level):
            return cell
    has = ", ".join(f"{cell.perturbation} {cell.level}".strip() for cell in summary.cells)
    raise HoldfastError(
        f"the summary of {summary.model}/{summary.arm} has no cell "
        f"'{f'{perturbation} {level}'.strip()}': it has {has}"
    )


def cell_if_any(summary: Pooled, perturbation: str, level: str, labels: Labels) -> Cell | None:
    """Return the summary's cell; None where it may be missing, since not every arm has it."""
    has = {(cell.perturbation, level_name(cell.level)) for cell in summary.cells}
    if labels.perturbation(perturbation).partial and (perturbation, level_name(level)) not in has:
        return None
    return find_cell(summary, perturbation, level)


def select(
    summary: Pooled,
    perturbations: Literal["all"] | Sequence[str],
    levels: Mapping[str, Sequence[str | float]],
    labels: Labels,
) -> list[Cell]:
    """Return the chosen cells of a summary, in the order chosen (``all``: as tested)."""
    names = [cell.perturbation for cell in summary.cells]
    names = list(dict.fromkeys(names)) if perturbations == "all" else list(perturbations)
    partial = {name for name in levels if labels.perturbation(name).partial}
    if strangers := set(levels) - set(names) - partial:
        raise HoldfastError(
            f"levels are set for '{min(strangers)}', which is not among the perturbations shown: "
            + ", ".join(names)
        )
    chosen: list[Cell] = []
    for name in names:
        tested = [cell for cell in summary.cells if cell.perturbation == name]
        wanted = levels.get(name) or [cell.level for cell in tested] or [""]
        of_entry = [cell_if_any(summary, name, str(level), labels) for level in wanted]
        chosen += [cell for cell in of_entry if cell is not None]
    return chosen


def counts(cell: Cell, metric: str) -> tuple[Counts, int]:
    """Return per-unit successes, shape (units,), and the number of draws, of a rate metric.

    ``unparsed_<judge>`` counts the judge's unreadable verdicts.
    """
    judge = metric.removeprefix(UNPARSED)
    draws = cell.outcomes.get(judge)
    if draws is None:
        raise HoldfastError(
            f"no outcomes of '{judge}' under {cell.perturbation} {cell.level}".rstrip()
            + ": delete this summary and run again"
        )
    return statistics.successes(draws, "?" if metric.startswith(UNPARSED) else "1"), len(draws)


def repeated_counts(cell: Cell, metric: str) -> tuple[Counts, int]:
    """Return per-unit successes of each repeat, (repeats, units), and the draws of one repeat."""
    return _grouped(cell, metric, cell.repeats)


def rates(cell: Cell, metric: str, groups: int) -> list[float]:
    """Return the rate within each of ``groups`` equal groups of draws, in order."""
    hits, draws = _grouped(cell, metric, groups)
    return [float(group.mean()) / draws for group in hits]


def _grouped(cell: Cell, metric: str, groups: int) -> tuple[Counts, int]:
    _, draws = counts(cell, metric)
    each = draws // groups
    symbol = "?" if metric.startswith(UNPARSED) else "1"
    looks = cell.outcomes[metric.removeprefix(UNPARSED)]
    parts = [looks[start : start + each] for start in range(0, draws, each)]
    return np.array([statistics.successes(part, symbol) for part in parts]), each


def average_rate(cell: Cell, metrics: Sequence[str]) -> Estimate:
    """Return the mean of several judges' rates; judges are more looks at the same behaviors."""
    parts = [repeated_counts(cell, metric) for metric in metrics]
    draws = parts[0][1]
    looks = statistics.rate(np.sum([part for part, _ in parts], axis=0), draws * len(parts))
    return Estimate(looks.value, looks.low, looks.high, looks.units, draws * cell.repeats)


def estimate(cell: Cell, metric: Metric) -> Estimate:
    """Return a cell's value of ``metric`` with its interval."""
    if metric.kind == "perplexity":
        nll, tokens = windows(cell)
        return statistics.perplexity(nll, tokens, len(cell.perplexity or ()))
    if metric.kind == "accuracy":
        scores = tasks(cell)
        return statistics.accuracy(list(scores.values()), cell.draws)
    return statistics.rate(*repeated_counts(cell, metric.name))


def change(cell: Cell, reference: Cell, metric: Metric) -> Change:
    """Return the paired change of ``metric`` from ``reference`` to ``cell``."""
    if metric.kind == "perplexity":
        (nll, tokens), (before, before_tokens) = windows(cell), windows(reference)
        if not np.array_equal(tokens, before_tokens):
            raise HoldfastError("perplexity windows differ between a summary and its reference")
        return statistics.perplexity_change(nll, before, tokens)
    if metric.kind == "accuracy":
        here, there = tasks(cell), tasks(reference)
        if set(here) != set(there):
            raise HoldfastError(
                f"lm-eval tasks differ between a summary ({', '.join(here)}) and its reference "
                f"({', '.join(there)})"
            )
        return statistics.accuracy_change(list(here.values()), [there[task] for task in here])
    after, former = (repeated_counts(side, metric.name) for side in (cell, reference))
    return statistics.rate_change(*after, *former)


def windows(cell: Cell) -> tuple[Floats, Floats]:
    """Return each repeat's mean NLL, (repeats, windows), and token counts, (windows,)."""
    draws = cell.perplexity
    if not draws:
        raise HoldfastError(f"no perplexity under {cell.perturbation} {cell.level}".rstrip())
    if any(draw.tokens != draws[0].tokens for draw in draws):
        raise HoldfastError(f"perplexity windows differ between draws of {cell.perturbation}")
    nll = _by_repeat(cell, [draw.nll for draw in draws])
    return nll, np.asarray(draws[0].tokens, dtype=np.float64)


def tasks(cell: Cell) -> dict[str, Floats]:
    """Return each task's mean item scores, (repeats, items); 0/1 scores may be packed strings."""
    entries = cell.lm_eval
    if not entries:
        raise HoldfastError(f"no lm-eval under {cell.perturbation} {cell.level}".rstrip())
    return {
        task: _by_repeat(cell, [_scores(draw) for draw in entry.scores])
        for task, entry in sorted(entries.items())
    }


def _by_repeat(cell: Cell, draws: Sequence[Floats | Sequence[float]]) -> Floats:
    """Return the mean over the draws of each repeat, shape (repeats, units)."""
    table = np.asarray(draws, dtype=np.float64)
    return table.reshape(cell.repeats, -1, table.shape[1]).mean(axis=1)


def _scores(draw: str | Sequence[float]) -> Floats:
    if isinstance(draw, str):
        return np.frombuffer(draw.encode("ascii"), np.uint8).astype(np.float64) - ord("0")
    return np.asarray(draw, dtype=np.float64)
