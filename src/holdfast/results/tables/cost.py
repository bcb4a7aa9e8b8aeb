"""Run time and peak memory of the stages that made the arms (Table 3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from holdfast.results.measured.files import Cost, models_of, of_arm
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import tone
from holdfast.results.tables.comparison import compared
from holdfast.results.tables.grid import (
    BANNER,
    Entry,
    Table,
    TableBlock,
)
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.labels import Labels
from holdfast.settings.tables import CostTable
from holdfast.statistics import Change, Estimate

MIB = 2**20
ROWS = (
    ("wall_s", "Run time", "{:.1f} s"),
    ("peak_memory_bytes", "Peak memory", "{:.0f} MiB"),
    ("forward_passes", "Compute", "{:,.0f} passes"),
)


def build(name: str, settings: CostTable, inputs: Inputs, context: Context) -> Table:
    """Build a cost table: arms as columns, ratios to the first arm; seeds are averaged.

    Raises HoldfastError naming a missing cost.json.
    """
    costs, labels = inputs.costs, context.labels
    models = models_of(Cost, costs, settings.models)
    blocks, records, shown = [], [], []
    for model in models:
        found = [of_arm(Cost, costs, model, arm) for arm in settings.arms]
        shown += [cost for group in found for cost in group]
        rows = []
        for field, label, form in ROWS:
            measured = [_record(model, field, group) for group in found]
            measured = [measured[0], *(_against(record, measured[0]) for record in measured[1:])]
            records += measured
            rows.append((Entry(f"{label} ↓"), *(_cell(one, measured[0], form) for one in measured)))
        steps = [", ".join(dict.fromkeys(f"{cost.steps:,}" for cost in group)) for group in found]
        rows.append((Entry("Steps"), *map(Entry, steps)))
        blocks.append(TableBlock(model, "", tuple(rows)))
    table = Table(
        name=name,
        title=settings.title,
        caption=settings.caption,
        banner=BANNER if context.meaningless else "",
        headings=("Metric", *map(labels.arm, settings.arms)),
        text_columns=1,
        blocks=tuple(blocks),
        notes=_notes(settings, shown, labels),
        records=tuple(records),
    )
    return compared(table, settings.published, labels) if settings.published else table


def _record(model: str, field: str, group: Sequence[Cost]) -> Measurement:
    value = fmean(getattr(cost, field) for cost in group)
    estimate = Estimate(value, None, None, len(group), 1)
    return Measurement(model, group[0].arm, "", "", field, "lower", estimate)


def _against(record: Measurement, first: Measurement) -> Measurement:
    delta = Change(record.estimate.value - first.estimate.value, None, None, None)
    where = (record.model, record.arm, record.perturbation, record.level, record.metric)
    return Measurement(*where, record.better, record.estimate, first.arm, delta)


def _cell(record: Measurement, first: Measurement, form: str) -> Entry:
    value = record.estimate.value
    text = form.format(value / MIB if record.metric == "peak_memory_bytes" else value)
    if record.change is None or first.estimate.value == 0:
        return Entry(text)
    ratio = f"{value / first.estimate.value:.2f}"
    delta = record.change.delta / first.estimate.value
    return Entry(text, amount=f"{ratio}×", tone=tone(delta, "lower", 2))


def _notes(settings: CostTable, costs: Sequence[Cost], labels: Labels) -> tuple[str, ...]:
    stages = dict.fromkeys(f"{labels.arm(cost.arm)}: {cost.stage}" for cost in costs)
    devices = list(dict.fromkeys(cost.device for cost in costs))
    kinds = list(dict.fromkeys(cost.memory_kind for cost in costs))
    notes = [
        f"Each column is the cost of its own stage, not of the arms it starts from "
        f"({'; '.join(stages)}). In parentheses: ratio to {labels.arm(settings.arms[0])}.",
        f"Device: {', '.join(devices)}. Peak memory is {', '.join(kinds)}. Values are means over "
        "seeds; timings change from run to run.",
    ]
    resumed = dict.fromkeys(labels.arm(cost.arm) for cost in costs if cost.resumed)
    notes.append(
        "Compute counts forward passes of one sample; a backward pass counts as two, a pass from"
        " a middle layer by its share of the layers."
    )
    if resumed:
        notes.append(
            "Interrupted and resumed: "
            f"{', '.join(resumed)}. The run time covers only the last part; "
            "make the arm again from the start to measure all of it."
        )
    if len(devices) > 1 or len(kinds) > 1:
        notes.append("The stages were measured in different ways, so their ratios are no guide.")
    return tuple(notes)
