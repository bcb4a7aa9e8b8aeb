"""Published numbers: read from ``published/``, and compared with ours at their printed precision.

Imports nothing heavy: settings are checked against these files.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from holdfast.errors import HoldfastError, nearest
from holdfast.files.project import project_root
from holdfast.settings.cells import level_name
from holdfast.settings.published import Published

FOLDER = project_root() / "published"
PLACE = ("model", "section", "perturbation", "level", "metric")
FIELDS = (*PLACE, "value", "change")
UNITS = {"peak_memory_bytes": 2**20}  # ours is in bytes, the paper's in MiB

Place = tuple[str, ...]


@dataclass(frozen=True)
class Printed:
    """A published number as it is printed; ``unit``: how many of our units its unit is."""

    text: str
    unit: int = 1

    @property
    def decimals(self) -> int:
        """Digits after the point."""
        return len(self.text.partition(".")[2])

    @property
    def in_our_unit(self) -> str:
        """The number in the unit of our values; as printed where that is its own unit."""
        return self.text if self.unit == 1 else f"{float(self._value):.0f}"

    def difference(self, ours: float) -> float:
        """Return our value minus the printed one, in our unit."""
        return ours - float(self._value)

    def within(self, low: float | None, high: float | None) -> bool | None:
        """Say whether a number that prints like this lies in our interval; None without one.

        A printed number stands for all that round to it: half a unit in the last printed place
        on either side. Computed exactly.
        """
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return None
        half = Fraction(self.unit, 2 * 10**self.decimals)
        return Fraction(low) - half <= self._value <= Fraction(high) + half

    @property
    def _value(self) -> Fraction:
        return Fraction(self.text) * self.unit


def tables() -> list[str]:
    """Return the names of the published tables."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


@cache
def read(table: str) -> Mapping[Place, str]:
    """Return the printed numbers of a published table by (model, section, perturbation, level,
    metric).

    Raises HoldfastError naming an unknown table, or the file and line of a bad row.
    """
    if table not in tables():
        hint = nearest(table, tables()) or f"; known: {', '.join(tables()) or 'none'}"
        raise HoldfastError(f"there is no published/{table}.csv{hint}")
    path = FOLDER / f"{table}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != FIELDS:
            raise HoldfastError(f"published/{path.name}: the columns must be {', '.join(FIELDS)}")
        printed: dict[Place, str] = {}
        for row in rows:
            where = f"published/{path.name}, line {rows.line_num}"
            place = (*(row[field] for field in PLACE[:3]), level_name(row["level"]), row["metric"])
            if place in printed:
                raise HoldfastError(f"{where}: this cell is there twice; keep one")
            if not _is_number(row["value"]):
                raise HoldfastError(f"{where}: '{row['value']}' is no number such as 0.1067")
            printed[place] = row["value"]
    return printed


def vocabulary(field: str) -> list[str]:
    """Return the names that the published tables use for models, sections, ..., in order."""
    index = PLACE.index(field)
    return list(dict.fromkeys(place[index] for table in tables() for place in read(table)))


def place(
    names: Published, model: str, arm: str, perturbation: str, level: str, metric: str
) -> Place | None:
    """Return where one of our cells would stand in the paper; None where it has no name there.

    A stage's cost, which has no perturbation, stands under the empty one.
    """
    levels = {level_name(ours): paper for ours, paper in names.levels.get(perturbation, {}).items()}
    matches = (
        names.models.get(model),
        names.arms.get(arm),
        names.perturbations.get(perturbation) if perturbation else "",
        level_name(levels.get(level_name(level), level)),
        names.metrics.get(metric),
    )
    known = tuple(name for name in matches if name is not None)
    return known if len(known) == len(matches) else None


def _is_number(text: str) -> bool:
    whole, _, decimals = text.partition(".")
    return whole.isdecimal() and (decimals.isdecimal() or "." not in text)
