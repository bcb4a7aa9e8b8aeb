"""What a stage costs: wall time and peak memory (section 5.4, Table 3)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Yield a dictionary that holds the block's cost once it has ended.

    ``wall_s`` is in seconds. ``peak_memory_bytes`` is the peak of allocated GPU memory, summed over
    GPUs; without a GPU it is the growth of the process's resident memory, at its peak.
    """
    cost: dict[str, Any] = {}
    baseline = _reset_peak()
    start = time.perf_counter()
    yield cost
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    cost["wall_s"] = round(time.perf_counter() - start, 3)
    cost["peak_memory_bytes"] = _peak() - baseline
    cost["memory_kind"] = (
        "allocated GPU memory"
        if torch.cuda.is_available()
        else "resident memory above that of the process before the stage"
    )
    cost["device"] = _device_name()


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
    found = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), flags=re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _device_name() -> str:
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        name = torch.cuda.get_device_name(0)
        return name if count == 1 else f"{count} x {name}"
    return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
