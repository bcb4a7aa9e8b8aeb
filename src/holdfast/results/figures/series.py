"""What a figure draws once: arms that are one share a mark, and an entry of the legend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from holdfast.results.measured.same_arms import SAME_MARK
from holdfast.settings.labels import Labels
from holdfast.text import printable


@dataclass(frozen=True)
class Series:
    """Bars or a line: ``arm`` of those that are one, and the text in the legend, which has all."""

    arm: str
    label: str


def series_of(
    arms: Sequence[str], identity: Callable[[str], Hashable], labels: Labels
) -> list[Series]:
    """Return what is drawn of ``arms``, in their order.

    ``identity`` returns what arms share that are one in every panel, and so are drawn once.
    """
    names: dict[Hashable, list[str]] = {}
    for arm in arms:
        names.setdefault(identity(arm), []).append(arm)
    return [
        Series(same[0], printable(f" {SAME_MARK} ".join(map(labels.arm, same))))
        for same in names.values()
    ]
