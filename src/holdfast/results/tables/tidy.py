"""The tidy CSV: one line a measurement, the same bytes for the same input."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from holdfast.config.published import Printed
from holdfast.results.measured.metrics import Better
from holdfast.statistics import Change, Estimate
from holdfast.text import printable

COLUMNS = (
    "model", "arm", "perturbation", "level", "metric", "value", "ci_low", "ci_high", "n", "draws",
    "reference", "delta", "delta_low", "delta_high", "p_value", "p_adjusted", "noise_floor",
    "better",
)  # fmt: skip
PUBLISHED_COLUMNS = ("published", "published_difference", "published_within")
ABSENT = "NA"
FORMULA = "=+-@|%＝＋－＠"  # also in the wide forms, which some spreadsheets take for the same
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


@dataclass(frozen=True)
class Measurement:
    """One measurement, and its change from a reference; empty text means "does not apply".

    A reference without a change is the same cell of the same arm, by another name.
    """

    model: str
    arm: str
    perturbation: str
    level: str
    metric: str
    better: Better
    estimate: Estimate
    reference: str = ""
    change: Change | None = None
    printed: Printed | None = None
    p_adjusted: float | None = None
    noise_floor: float | None = None

    @property
    def same(self) -> bool:
        """Whether the reference is the same arm, so that there is nothing to compare."""
        return bool(self.reference) and self.change is None

    @property
    def in_floor(self) -> bool:
        """Whether the change is no larger than what meaningless moves make."""
        floor = self.noise_floor
        return self.change is not None and floor is not None and abs(self.change.delta) <= floor


def to_csv(
    records: Iterable[Measurement], columns: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Return the CSV text, with header; ``NA`` marks what does not apply, so no cell is empty.

    p_value is the unadjusted paired p-value, p_adjusted the one that stars show, noise_floor what a
    meaningless change stays below. Where ``reference`` is the same arm by another name, there is
    no change and no test, and they are NA; a comparison that is shown of several names of an arm
    is one test, and has the same p_adjusted each time.

    Text that a spreadsheet would run as a formula gets an apostrophe in front. Where published
    numbers were looked up, three more columns hold the published number, in the unit of ``value``;
    ``value`` minus it; and whether it lies in the interval (yes, no). ``columns`` come last: what
    each says of an arm, by arm.
    """
    records, columns = list(records), columns or {}
    compared = any(record.printed for record in records)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, *(PUBLISHED_COLUMNS if compared else ()), *columns))
    for record in records:
        estimate, change = record.estimate, record.change
        writer.writerow(
            [
                *map(csv_text, (record.model, record.arm, record.perturbation, record.level)),
                csv_text(record.metric),
                *map(csv_number, (estimate.value, estimate.low, estimate.high)),
                estimate.units,
                estimate.draws,
                csv_text(record.reference),
                *map(csv_number, (change.delta, change.low, change.high) if change else [None] * 3),
                csv_p_value(change.p_value if change else None),
                csv_p_value(record.p_adjusted),
                csv_number(record.noise_floor),
                record.better,
                *(_published(record) if compared else ()),
                *(csv_text(says.get(record.arm, "")) for says in columns.values()),
            ]
        )
    return out.getvalue()


def _published(record: Measurement) -> tuple[str, str, str]:
    printed, estimate = record.printed, record.estimate
    if printed is None:
        return ABSENT, ABSENT, ABSENT
    within = {True: "yes", False: "no", None: ABSENT}[printed.within(estimate.low, estimate.high)]
    return printed.in_our_unit, csv_number(printed.difference(estimate.value)), within


def csv_text(text: str) -> str:
    """Return what is safe in a cell of a spreadsheet; never empty."""
    text = printable(text).strip() or ABSENT
    formula = text[0] in FORMULA and not NUMBER.fullmatch(text)
    return f"'{text}" if formula else text


def csv_number(value: float | None) -> str:
    """Return six decimals, of a huge number six digits after the first."""
    if value is None:
        return ABSENT
    text = f"{value:.6f}" if abs(value) < 1e9 else f"{value:.6e}"
    return text.lstrip("-") if float(text) == 0 else text


def csv_p_value(value: float | None) -> str:
    """Return six significant digits."""
    return ABSENT if value is None else f"{value:.6g}"
