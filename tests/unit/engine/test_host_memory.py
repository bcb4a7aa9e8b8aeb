"""Free memory of the host is that of the tightest group that the process is in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.engine import host_memory
from holdfast.engine.host_memory import available_memory

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of which 900 MiB are free, with nothing that bounds them."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    meminfo = f"MemTotal: 9000000 kB\nMemFree: 300 kB\nMemAvailable:     {900 * 1024} kB\n"
    (tmp_path / "proc" / "meminfo").write_text(meminfo)
    monkeypatch.setattr(host_memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(host_memory, "GROUPS", tmp_path / "groups")
    return tmp_path


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(f"{content}\n")


def of(machine: Path, line: str) -> int:
    """Return the free MiB of a process in these groups."""
    (machine / "proc" / "self" / "cgroup").write_text(f"{line}\n")
    return available_memory() // MIB


def test_a_machine_without_groups_has_what_it_says(machine: Path) -> None:
    assert available_memory() == 900 * MIB
    assert of(machine, "0::/user.slice") == 900


def test_the_second_version_bounds_by_the_tightest_group_above(machine: Path) -> None:
    job = machine / "groups" / "slurm" / "job_7"
    group(job, max=str(500 * MIB), current=str(200 * MIB), stat=f"anon 5\ninactive_file {50 * MIB}")
    group(job / "step", max="max", current=str(200 * MIB), stat="")
    assert of(machine, "0::/slurm/job_7/step") == 350
    group(job.parent, max=str(220 * MIB), current=str(200 * MIB), stat="")
    assert of(machine, "0::/slurm/job_7/step") == 20
    assert of(machine, "0::/elsewhere") == 900


def test_in_a_container_the_mount_is_its_own_group(machine: Path) -> None:
    group(machine / "groups", max=str(300 * MIB), current=str(100 * MIB))
    assert of(machine, "0::/") == 200
    assert of(machine, "0::/of/the/host") == 200


def test_the_first_version_bounds_too(machine: Path) -> None:
    job = machine / "groups" / "memory" / "job"
    names = {"limit_in_bytes": str(500 * MIB), "usage_in_bytes": str(450 * MIB)}
    group(job, **names, stat=f"inactive_file 1\ntotal_inactive_file {30 * MIB}")
    group(job.parent, limit_in_bytes=str(2**63 - 4096), usage_in_bytes=str(800 * MIB))
    assert of(machine, "3:cpu,cpuacct:/job\n2:memory:/job\n0::/") == 80


def test_a_group_that_is_over_its_bound_has_nothing_left(machine: Path) -> None:
    group(machine / "groups", max=str(300 * MIB), current=str(400 * MIB))
    assert of(machine, "0::/") == 0


def test_other_systems_are_taken_to_have_half_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "PROC", tmp_path)
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    assert available_memory() == half
