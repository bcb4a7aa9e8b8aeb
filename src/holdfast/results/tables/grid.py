"""A laid-out table: what every renderer reads, with nothing left to decide."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.results.measured.metrics import Tone
from holdfast.results.tables.tidy import Measurement

BANNER = (
    "THESE NUMBERS MEAN NOTHING: a model here is random or untrained, so this only shows that "
    "the machinery runs."
)

FLOOR_MARK = "°"


@dataclass(frozen=True)
class Entry:
    """A value with, in parentheses, its change; ``interval`` goes in small print.

    ``amount`` is ``=`` where the value would be compared with itself: the same arm.
    ``in_floor``: the change is inside the noise floor; it is greyed, and marked with FLOOR_MARK.
    """

    text: str
    arrow: str = ""
    amount: str = ""
    stars: str = ""
    interval: str = ""
    tone: Tone = ""
    best: bool = False
    in_floor: bool = False

    @property
    def marks(self) -> str:
        """Return what follows the change: its stars, and the mark of the noise floor."""
        return self.stars + (FLOOR_MARK if self.in_floor else "")


@dataclass(frozen=True)
class TableBlock:
    """Rows of one section; ``model`` is set where a new model begins."""

    model: str
    title: str
    rows: tuple[tuple[Entry, ...], ...]

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.model, self.title)))


@dataclass(frozen=True, kw_only=True)
class Table:
    """A whole table. ``groups`` is an optional upper header row of (text, columns spanned).

    ``comparisons`` are further tables, printed after it: ours beside published numbers. ``csv`` is
    the text of its CSV where that is not its records.
    """

    name: str
    title: str
    caption: str
    banner: str = ""
    groups: tuple[tuple[str, int], ...] = ()
    headings: tuple[str, ...]
    text_columns: int
    blocks: tuple[TableBlock, ...]
    notes: tuple[str, ...]
    records: tuple[Measurement, ...] = ()
    comparisons: tuple[Table, ...] = ()
    csv: str = ""
