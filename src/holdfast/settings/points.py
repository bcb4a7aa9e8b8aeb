"""The points of a sweep: one arm for every combination of the values to try."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

from pydantic import JsonValue

Arm = TypeVar("Arm", bound=Any)


@dataclass(frozen=True)
class Point:
    """One combination of values; ``arm`` is the arm that has it, the sweep's own where it can."""

    name: str
    arm: str
    values: dict[str, JsonValue]


def points(name: str, entry: Any) -> list[Point]:
    """Return the points of the sweep of arm ``name``, numbered from 1 in the order of the values.

    Settings vary in the order of their stage, the last one fastest.
    """
    if not entry.swept:
        return []
    own = entry.move
    made = []
    for number, values in enumerate(product(*entry.swept.values()), start=1):
        point = dict(zip(entry.swept, values, strict=True))
        same = all(getattr(own, setting) == value for setting, value in point.items())
        made.append(Point(f"{name}.{number}", name if same else f"{name}.{number}", point))
    return made


def point_arms(name: str, entry: Arm) -> dict[str, Arm]:
    """Return the arms that the sweep of arm ``name`` adds: all but the one that it is itself."""
    return {
        point.arm: entry.model_copy(
            update=point.values
            | {"sweep": {}, "label": f"{entry.label or name} ({in_words(point.values)})"}
        )
        for point in points(name, entry)
        if point.arm != name
    }


def used_values(entry: Any) -> dict[str, JsonValue]:
    """Return the swept settings of an arm with the values that it has itself."""
    return {setting: getattr(entry.move, setting) for setting in entry.swept}


def in_words(values: dict[str, JsonValue]) -> str:
    """Return values as a reader would write them: ``learning_rate 0.01, beta 0.03``."""
    return ", ".join(f"{setting} {show_value(value)}" for setting, value in values.items())


def show_value(value: object) -> str:
    """Return one value as YAML would hold it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
