"""Two ways to compute the same thing, timed in turns, with the peak memory of each."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import torch

from holdfast.engine.cost import reset_resident_peak, resident_peak

T = TypeVar("T")


@dataclass(frozen=True)
class Contest:
    """Holdfast's way and the plain way, each a callable that does the work once.

    ``check`` compares what the two compute and says in words how well they agree; it runs before
    the clock starts and warms both up. The scales turn the seconds of a call into those shown (a
    call of N steps, shown by the step, has the scale 1 / N). A ``long`` contest, whose sides take a
    minute each, gets half the rounds.
    """

    name: str
    ours: Callable[[], object]
    plain: Callable[[], object]
    limit: float | None = None
    check: Callable[[], str] | None = None
    ours_scale: float = 1.0
    plain_scale: float = 1.0
    long: bool = False
    note: str = ""


@dataclass(frozen=True)
class Result:
    """One line of the table; a side is None where it did not fit in memory.

    ``unit`` is that of ``ours`` and ``plain``: seconds or bytes. Peaks are in bytes, the model
    included.
    """

    name: str
    unit: Literal["s", "B"]
    ours: float | None
    plain: float | None
    limit: float | None
    rounds: int
    peak_ours: int | None = None
    peak_plain: int | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over plain."""
        return self.ours / self.plain if self.ours and self.plain else None


class Cost(NamedTuple):
    """What one call took: seconds, and bytes at the peak, the model included."""

    seconds: float
    peak: int


def compete(contest: Contest, device: str, rounds: int, model_bytes: int) -> Result:
    """Warm up, then time ours, plain, ours, plain, ...; the result holds medians."""
    rounds = max(1, rounds // 2) if contest.long else rounds
    agreement = fitting(contest.check or (lambda: _run_both(contest)))
    ours: list[Cost | None] = []
    plain: list[Cost | None] = []
    for _ in range(rounds):
        ours.append(fitting(lambda: cost(contest.ours, device, model_bytes)))
        plain.append(fitting(lambda: cost(contest.plain, device, model_bytes)))
    return Result(
        contest.name,
        "s",
        _median(ours, contest.ours_scale),
        _median(plain, contest.plain_scale),
        contest.limit,
        rounds,
        _peak(ours),
        _peak(plain),
        "; ".join(text for text in (agreement, contest.note) if text),
    )


def cost(action: Callable[[], object], device: str, model_bytes: int) -> Cost:
    """Run ``action`` once.

    On a GPU the peak is that of allocated memory. On a CPU it is the growth of resident memory at
    its peak plus ``model_bytes``: the interpreter and its libraries are not counted.
    """
    with _peak_memory(device, model_bytes) as peak:
        start = time.perf_counter()
        action()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return Cost(seconds, peak[0])


def fitting(action: Callable[[], T]) -> T | None:
    """Return what ``action`` returns, or None when memory ran out."""
    try:
        return action()
    except torch.OutOfMemoryError:
        pass  # leaving the handler first frees what the failed call held
    torch.cuda.empty_cache()
    return None


def _run_both(contest: Contest) -> str:
    contest.ours()
    contest.plain()
    return ""


def _median(costs: list[Cost | None], scale: float) -> float | None:
    seconds = [entry.seconds for entry in costs if entry]
    return scale * statistics.median(seconds) if len(seconds) == len(costs) else None


def _peak(costs: list[Cost | None]) -> int | None:
    peaks = [entry.peak for entry in costs if entry]
    return max(peaks) if len(peaks) == len(costs) else None


@contextmanager
def _peak_memory(device: str, model_bytes: int) -> Iterator[list[int]]:
    found: list[int] = []
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        yield found
        found.append(torch.cuda.max_memory_allocated())
        return
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls have freed is no longer resident
    before = reset_resident_peak()
    yield found
    found.append(resident_peak() - before + model_bytes)
