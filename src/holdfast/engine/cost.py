"""What a stage costs: wall time and peak memory (section 5.4, Table 3)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from holdfast.settings.base import Strict

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


class Usage(Strict):
    """What some work took.

    ``wall_s`` is in seconds. ``peak_memory_bytes`` is the peak of allocated GPU memory, summed over
    GPUs; without a GPU it is the growth of the process's resident memory, at its peak.
    """

    wall_s: float
    peak_memory_bytes: int
    memory_kind: str
    device: str

    def after(self, earlier: Usage) -> Usage:
        """Return this usage and that of ``earlier`` work that it stands on, as one."""
        return self.model_copy(
            update={
                "wall_s": self.wall_s + earlier.wall_s,
                "peak_memory_bytes": max(self.peak_memory_bytes, earlier.peak_memory_bytes),
            }
        )


class Cost(Usage):
    """The content of an arm's cost.json, beside the arm's name: what making it took.

    ``resumed`` says that a killed job had done some of it, which ``wall_s`` leaves out;
    ``forward_passes`` are of one sample.
    """

    stage: str
    steps: int
    resumed: bool
    forward_passes: int | float


@dataclass
class Meter:
    """Holds the usage of a block once it has ended."""

    _usage: Usage | None = None

    @property
    def usage(self) -> Usage:
        """What the block took."""
        assert self._usage is not None, "the block has not ended"
        return self._usage


@contextmanager
def measured() -> Iterator[Meter]:
    """Yield a meter of the block's usage."""
    meter = Meter()
    baseline = _reset_peak()
    start = time.perf_counter()
    yield meter
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    meter._usage = Usage(
        wall_s=round(time.perf_counter() - start, 3),
        peak_memory_bytes=_peak() - baseline,
        memory_kind="allocated GPU memory"
        if torch.cuda.is_available()
        else "resident memory above that of the process before the stage",
        device=_device_name(),
    )


def _reset_peak() -> int:
    """Start a new peak; return the memory that is not counted as the block's, in bytes."""
    if torch.cuda.is_available():
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(gpu)
        return 0
    return reset_resident_peak()


def _peak() -> int:
    if torch.cuda.is_available():
        gpus = range(torch.cuda.device_count())
        return sum(torch.cuda.max_memory_allocated(gpu) for gpu in gpus)
    return resident_peak()


def reset_resident_peak() -> int:
    """Start a new peak of this process's resident memory; return what is resident, in bytes."""
    CLEAR.write_text("5")  # resets the high-water mark (proc(5))
    return _status("VmRSS")


def resident_peak() -> int:
    """Return the most bytes that were resident since :func:`reset_resident_peak`."""
    return _status("VmHWM")


def _status(field: str) -> int:
    line = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), flags=re.MULTILINE)
    return int(line[1]) * 1024 if line else 0


def _device_name() -> str:
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        name = torch.cuda.get_device_name(0)
        return name if count == 1 else f"{count} x {name}"
    return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
