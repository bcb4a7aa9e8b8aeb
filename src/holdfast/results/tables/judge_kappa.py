"""How often each pair of judges agrees on an arm's completions, beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from holdfast.results.measured import cells
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import Metric, judges_of, show
from holdfast.results.measured.pooling import Pooled
from holdfast.results.measured.runs import Arms, require_same_behaviors
from holdfast.results.measured.same_arms import cell_key, same_arm_notes
from holdfast.results.tables.grid import (
    BANNER,
    Entry,
    Table,
    TableBlock,
)
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.cells import level_name
from holdfast.settings.labels import Labels
from holdfast.settings.tables import JudgeKappaTable
from holdfast.statistics import (
    Counts,
    Estimate,
    rate,
    successes,
)
from holdfast.statistics.kappa import Agreement, agreement

HEADINGS = (
    "Judges", "Verdicts", "Agreement ↑", "Kappa ↑", "Both", "Only first", "Only second", "Unparsed",
)  # fmt: skip


def build(name: str, settings: JudgeKappaTable, inputs: Inputs, context: Context) -> Table:
    """Build the table, a block for each perturbation; raise HoldfastError when an input is missing.

    The looks at a behavior are its draws under every level of the perturbation and every arm; an
    arm of several names counts once.
    """
    arms, labels = Arms(inputs.summaries), context.labels
    blocks: list[TableBlock] = []
    records: list[Measurement] = []
    used: list[Pooled] = []
    for model in arms.models(settings.models):
        group = [arms.find(model, arm) for arm in settings.arms]
        for other in group[1:]:
            require_same_behaviors(other, group[0])
        used += group
        judges = judges_of(group[0], settings.metrics)
        heading = model
        for perturbation, pooled in _pooled(settings, group, labels).items():
            rows = []
            for pair in combinations(judges, 2):
                row, compared = _compare(model, settings, perturbation, pooled, pair)
                rows.append(row)
                records += compared
            blocks.append(TableBlock(heading, _title(perturbation, pooled, labels), tuple(rows)))
            heading = ""
    return Table(
        name=name,
        title=settings.title,
        caption=settings.caption,
        banner=BANNER if any(summary.meaningless for summary in used) else "",
        headings=HEADINGS,
        text_columns=1,
        blocks=tuple(blocks),
        notes=_notes(settings, used, blocks, labels),
        records=tuple(records),
    )


def _pooled(
    settings: JudgeKappaTable, group: Sequence[Pooled], labels: Labels
) -> dict[str, list[cells.Cell]]:
    """Return the cells of all arms by perturbation, in the order shown."""
    pooled: dict[str, list[cells.Cell]] = {}
    seen: set[tuple[str, ...]] = set()
    for summary in group:
        for cell in cells.select(summary, settings.perturbations, settings.levels, labels):
            key = cell_key(summary, (cell.perturbation, level_name(cell.level)), labels)
            if key not in seen:
                pooled.setdefault(cell.perturbation, []).append(cell)
            seen.add(key)
    return pooled


def _compare(
    model: str,
    settings: JudgeKappaTable,
    perturbation: str,
    pooled: Sequence[cells.Cell],
    pair: tuple[Metric, Metric],
) -> tuple[tuple[Entry, ...], list[Measurement]]:
    first, second = (_looks(pooled, judge, "1") for judge in pair)
    unparsed = _looks(pooled, pair[0], "?") | _looks(pooled, pair[1], "?")
    agreed = agreement(first, second)
    names = "_".join(judge.name for judge in pair)
    where = (model, "+".join(settings.arms), perturbation, "")
    unread = rate(unparsed.sum(axis=1), unparsed.shape[1])
    records = [
        Measurement(*where, f"agreement_{names}", "higher", agreed.observed),
        Measurement(*where, f"unparsed_{names}", "lower", unread),
    ]
    if agreed.kappa:
        records.insert(1, Measurement(*where, f"kappa_{names}", "higher", agreed.kappa))
    title = " / ".join(judge.judge for judge in pair)
    return _row(title, first.size, agreed, unread.value), records


def _looks(pooled: Sequence[cells.Cell], judge: Metric, symbol: str) -> Counts:
    """Return whether each look of a judge has ``symbol``, shape (units, looks)."""
    draws = [draw for cell in pooled for draw in cell.outcomes[judge.name]]
    return np.stack([successes([draw], symbol) for draw in draws], axis=1)


def _row(title: str, verdicts: int, agreed: Agreement, unparsed: float) -> tuple[Entry, ...]:
    return (
        Entry(title),
        Entry(f"{verdicts:,}"),
        _estimate(agreed.observed),
        _estimate(agreed.kappa) if agreed.kappa else Entry("–"),
        *(Entry(show(share)) for share in (agreed.both, agreed.first, agreed.second, unparsed)),
    )


def _estimate(estimate: Estimate) -> Entry:
    low, high = (show(bound, 3) for bound in (estimate.low or 0.0, estimate.high or 0.0))
    return Entry(show(estimate.value), interval=f"{low}–{high}")


def _title(perturbation: str, pooled: Sequence[cells.Cell], labels: Labels) -> str:
    label = labels.perturbation(perturbation).label
    levels = dict.fromkeys(cell.level for cell in pooled if cell.level)
    shown = ", ".join(labels.level(perturbation, level) for level in levels)
    return f"{label}: {shown}" if shown else label


def _notes(
    settings: JudgeKappaTable, used: Sequence[Pooled], blocks: Sequence[TableBlock], labels: Labels
) -> tuple[str, ...]:
    sizes = " or ".join(f"{size:,}" for size in sorted({summary.behaviors for summary in used}))
    notes = [
        f"Verdicts: pairs of verdicts on the same completion, pooled over the levels named and "
        f"their draws, of {', '.join(map(labels.arm, settings.arms))}.",
        "Kappa: Cohen's, the agreement beyond what two judges with these rates reach by chance (1: "
        "always; 0: no more than by chance). Where successes are rare it is low although the "
        "judges seldom differ: read it beside the agreement.",
        "Both, Only first, Only second: share of verdict pairs in which both judges, only the "
        "first or only the second call an attack success. Unparsed: share in which a verdict "
        "could not be read; it counts as no attack success.",
        f"n: {sizes} behaviors. The 95 % intervals are over behaviors, on which verdicts are "
        "clustered: Wilson for the agreement, delta method for kappa with half a pseudo-behavior "
        "in each of the four outcomes.",
    ]
    if any(row[3].text == "–" for block in blocks for row in block.rows):
        notes.append("–: all verdicts of both judges are the same, so kappa is undefined.")
    notes += [f"{note} It counts once." for note in same_arm_notes(used, labels)]
    return tuple(notes)
