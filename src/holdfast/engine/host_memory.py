"""The host memory that a process may still take: the machine's, or less in a container or a job.

Containers, SLURM and systemd bound memory by control groups. The machine's own numbers say nothing
of such a bound, and the kernel kills what goes beyond it. See cgroups(7).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")


class _Files(NamedTuple):
    """Names of a group's files by version, and of the cache in ``memory.stat`` that is let go."""

    limit: str
    used: str
    cache: str


V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = _Files("memory.max", "memory.current", "inactive_file")


def available_memory() -> int:
    """Return the bytes that this process may still take, file caches that are let go included."""
    return max(0, min([_of_machine(), *_of_groups()]))


def _of_machine() -> int:
    meminfo = PROC / "meminfo"
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # not Linux


def _of_groups() -> Iterator[int]:
    """Yield what each bounded group that this process is in has left: its own and those above."""
    with suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                for mount in (GROUPS, GROUPS / "unified"):
                    yield from _upwards(mount, path, V2)
            elif "memory" in controllers.split(","):
                yield from _upwards(GROUPS / "memory", path, V1)


def _upwards(mount: Path, path: str, names: _Files) -> Iterator[int]:
    """Yield what is left from a group up to the mount, which in a container is its own group."""
    group = Path(path.strip("/"))
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):  # not there, or "max": no bound
            limit = int((mount / folder / names.limit).read_text())
            used = int((mount / folder / names.used).read_text())
            yield limit - used + _cache(mount / folder, names.cache)


def _cache(group: Path, name: str) -> int:
    with suppress(OSError, ValueError):
        rows = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        return next((int(size) for key, size in rows if key == name), 0)
    return 0
