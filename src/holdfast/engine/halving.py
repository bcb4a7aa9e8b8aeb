"""Running out of memory halves a batch and goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from holdfast.errors import HoldfastError

T = TypeVar("T")


class Halving:
    """Runs work on the rows of batches, and on fewer at once from when memory first ran out.

    Results are those of whole batches up to rounding: logits depend on the number of rows in their
    last bits.
    """

    def __init__(self, work: str, advice: str) -> None:
        """Name the work, as in "out of memory in <work>", and what to do when one row is too many.

        ``advice`` says what else to try than a GPU with more memory.
        """
        self._work, self._advice = work, advice
        self._most: int | None = None

    def __call__(self, run: Callable[[slice], T], rows: int) -> list[T]:
        """Return what ``run`` gives for consecutive slices that make up ``rows`` rows.

        Raises:
            HoldfastError: a single row does not fit into memory.
        """
        done: list[T] = []
        start = 0
        while start < rows:
            size = min(self._most or rows, rows - start)
            try:
                done.append(run(slice(start, start + size)))
                start += size
                continue
            except torch.OutOfMemoryError:
                pass  # leaving the handler first frees what the failed pass held
            self.halve(size)
        return done

    def halve(self, rows: int) -> int:
        """Note that ``rows`` rows did not fit and say so in the log; return how many to try.

        Raises:
            HoldfastError: it was a single row.
        """
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if rows == 1:
            raise HoldfastError(
                f"out of memory in {self._work}, with one row at a time: {self._advice} or use a "
                "larger GPU"
            )
        self._most = rows // 2
        print(f"{self._work}: out of memory, now {self._most} rows a batch", file=sys.stderr)
        return self._most
