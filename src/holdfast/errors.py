"""The one exception that users see, and the suggestion it carries on a typo."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from holdfast.text import printable

LONGEST = 4000  # characters of a message; what is quoted in it may be a whole file


class HoldfastError(Exception):
    """A user's mistake or a broken artifact, told in one sentence that says what would be right.

    Names and values in it may come from anywhere: nothing in it can steer a terminal.
    """

    def __init__(self, message: str) -> None:
        text = printable(message)
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...")


class Diverged(HoldfastError):  # noqa: N818 (what happened, not what to mend)
    """A loss that is no finite number: the arm's settings do not work on this model."""


@contextmanager
def headed(where: str) -> Iterator[None]:
    """Put ``where``, the path of a setting, before the sentence of a HoldfastError."""
    try:
        yield
    except HoldfastError as error:
        raise HoldfastError(f"{where}: {error}") from None


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the candidate closest to ``name``, or ``""``."""
    match = difflib.get_close_matches(name[:80], list(candidates), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""
