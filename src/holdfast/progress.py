"""Progress of long work: plain lines, with time left.

A job's standard error is its log, where a line a minute at most tells what it does. The terminal
that started the job may be told too (``follow``): in whole lines, since other jobs write there.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
LOG_INTERVAL_S = 60.0
TERMINAL_INTERVAL_S = 10.0
_LINE = re.compile(r"^.+: (\d+/\d+, \S+/s, \d+ s left|\d+ done, \S+/s)$", re.MULTILINE)


def track(iterable: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield from ``iterable`` and report on standard error how far it is and how long it takes."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    task = _Task(label, total, time.monotonic())
    _under_way.append(task)
    try:
        for item in iterable:
            yield item
            task.done += 1
            for outlet in _outlets:
                outlet.offer()
    finally:
        _under_way.remove(task)


def follow(terminal: int, heading: str) -> None:
    """Report to a terminal, by its descriptor, as well; each line starts with ``heading``."""

    def write(line: str) -> None:
        with suppress(OSError):  # a terminal that was closed stops no job
            os.write(terminal, f"{heading}: {line}\n".encode())

    _outlets.append(_Outlet(write, TERMINAL_INTERVAL_S))


def last_line(log: str) -> str | None:
    """Return the last report in a log's text, if there is one."""
    lines = [match.group() for match in _LINE.finditer(log)]
    return lines[-1] if lines else None


@dataclass(eq=False)
class _Task:
    """Work under way, which may be a part of other work."""

    label: str
    total: int | None
    start: float
    done: int = 0

    def __str__(self) -> str:
        elapsed = time.monotonic() - self.start
        rate = self.done / elapsed if elapsed > 0 else math.inf
        if self.total is None:
            return f"{self.label}: {self.done} done, {rate:.3g}/s"
        if self.done == 0:
            return f"{self.label}: 0/{self.total}"
        left = (self.total - self.done) / rate
        return f"{self.label}: {self.done}/{self.total}, {rate:.3g}/s, {left:.0f} s left"


@dataclass
class _Outlet:
    """Takes a line now and then: the first at once, and then one an interval at most."""

    write: Callable[[str], None]
    interval: float
    reported: float = -math.inf

    def offer(self) -> None:
        now = time.monotonic()
        if now - self.reported >= self.interval:
            self.reported = now
            self.write("; ".join(map(str, _under_way)))


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_under_way: list[_Task] = []  # the outermost first
_outlets = [_Outlet(_log, LOG_INTERVAL_S)]
