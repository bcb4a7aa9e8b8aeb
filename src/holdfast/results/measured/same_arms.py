"""Arms that are one: two ways to choose layers that chose the same layers, for one.

What their weights are tells, and not what was measured of them: two arms may well measure alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from holdfast.settings.labels import Labels

SAME_ARM = "same arm"  # the verdict on a comparison of an arm with itself
SAME_MARK = "="  # what a table has in the place of the change
UNTESTED = f"{SAME_MARK} stands where an arm would be compared with itself: no test."


class Weighed(Protocol):
    """An arm of a model; ``weights``: the digest of its weights, one a training seed."""

    @property
    def model(self) -> str: ...
    @property
    def arm(self) -> str: ...
    @property
    def weights(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class SameArms:
    """Names of one arm of a model, two or more, in the order shown."""

    model: str
    arms: tuple[str, ...]


def is_same(arm: Weighed, other: Weighed) -> bool:
    """Return whether two arms of a model have the same weights, for every training seed."""
    return (arm.model, arm.weights) == (other.model, other.weights)


def same_arms(shown: Iterable[Weighed]) -> list[SameArms]:
    """Return which of the arms shown are the same arm as which, model by model."""
    names: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for arm in shown:
        names.setdefault((arm.model, arm.weights), {})[arm.arm] = None
    return [SameArms(model, tuple(arms)) for (model, _), arms in names.items() if len(arms) > 1]


def same_arm_notes(shown: Iterable[Weighed], labels: Labels) -> list[str]:
    """Return a sentence for each arm that is shown by several names."""
    every = list(shown)
    several = len({arm.model for arm in every}) > 1
    notes = []
    for same in same_arms(every):
        first, *others = map(labels.arm, same.arms)
        who = f"{', '.join(others[:-1])} and {others[-1]} are" if others[1:] else f"{others[0]} is"
        model = f"Of {same.model}, " if several else ""
        notes.append(f"{model}{who} the {SAME_ARM} as {first}: the weights are equal.")
    return notes


def cell_key(arm: Weighed, place: tuple[str, str], labels: Labels) -> tuple[str, ...]:
    """Return what an arm's cell at a place (perturbation and level) shares with no other cell.

    But with that of the same arm. A ready-made checkpoint, which only some arms have, is not made
    from the arm's weights, so two arms of equal weights may have two.
    """
    own = (arm.arm,) if labels.perturbation(place[0]).partial else ()
    return (arm.model, *arm.weights, *own, *place)
