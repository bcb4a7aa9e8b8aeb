"""Leases of GPUs: processes that hold fake cards, and what happens when they die."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.jobs import lease as module
from holdfast.jobs.lease import lease, visible_cards

CODE = """
import time
from holdfast.jobs import lease
lease.PAUSE_S = 0.05
print(",".join(lease.lease({count})), flush=True)
{after}
"""
STAY = "time.sleep(60)"


def smi(folder: Path, cards: int, code: int = 0) -> None:
    """Put an nvidia-smi into ``folder`` that tells of this many cards."""
    rows = "".join(f"echo '{index}, GPU-{index}{index}{index}'\n" for index in range(cards))
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{rows}exit {code}\n")
    script.chmod(0o755)


class Machine:
    """Starts processes that see some fake cards and share one folder of locks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        smi(folder, cards=4)

    def start(self, count: int, after: str = STAY, **more: str) -> Any:
        environment = {k: v for k, v in os.environ.items() if "CUDA" not in k and "SLURM" not in k}
        environment |= {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        environment |= {"HOLDFAST_LEASES": str(self.folder)} | more
        code = CODE.format(count=count, after=after)
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.started.append(process)
        return process

    def cards(self, count: int, **more: Any) -> list[str]:
        """Start a process that stays, and return its cards once it has them."""
        return answer(self.start(count, **more))

    def waits(self, process: Any) -> str:
        """Return the line that a process writes while it waits."""
        return process.stderr.readline()


def answer(process: Any) -> list[str]:
    line = process.stdout.readline().strip()
    return line.split(",") if line else []


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_every_process_gets_cards_of_its_own(machine: Machine) -> None:
    processes = [machine.start(1) for _ in range(4)]
    found = [card for process in processes for card in answer(process)]
    assert sorted(found) == ["GPU-000", "GPU-111", "GPU-222", "GPU-333"]
    fifth = machine.start(1)
    said = machine.waits(fifth)
    assert said.startswith("waiting for 1 of 4 GPUs: GPU-000 is held by process ")
    owner = next(p for p, card in zip(processes, found, strict=True) if card == "GPU-000")
    assert f"GPU-000 is held by process {owner.pid};" in said
    processes[2].kill()  # SIGKILL: only the kernel can drop the lock
    assert answer(fifth) == [found[2]]


def test_jobs_for_two_cards_take_both_or_wait_with_none(machine: Machine) -> None:
    visible = {"CUDA_VISIBLE_DEVICES": "0,1,2"}
    pairs = [machine.start(2, after="time.sleep(0.1)", **visible) for _ in range(6)]
    for process in pairs:
        assert len(set(answer(process))) == 2
        assert process.wait(timeout=60) == 0
    holder = machine.start(2, **visible)
    assert answer(holder) == ["GPU-000", "GPU-111"]
    waiting = machine.start(2, **visible)
    assert "waiting for 2 of 3 GPUs" in machine.waits(waiting)
    assert machine.cards(1, **visible) == ["GPU-222"]  # which the waiting one does not hold
    machine.started[-1].kill()
    holder.kill()
    assert len(set(answer(waiting))) == 2


def test_a_lease_stays_within_the_visible_cards(machine: Machine) -> None:
    visible = {"CUDA_VISIBLE_DEVICES": "2,3"}
    assert machine.cards(1, **visible) == ["GPU-222"]
    assert machine.cards(1) == ["GPU-000"]
    assert machine.cards(1, CUDA_VISIBLE_DEVICES="GPU-222, GPU-333") == ["GPU-333"]
    refused = machine.start(3, **visible)
    assert refused.wait(timeout=60) == 1
    assert "gpus: 3, but 2 can be used here (GPU-222, GPU-333)" in refused.stderr.read()


def test_the_cards_are_those_that_cuda_sees(machine: Machine) -> None:
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    for count, shown in ((2, "GPU-000,GPU-111"), (0, "")):
        process = machine.start(count, after=show, CUDA_VISIBLE_DEVICES="0,1,2")
        lines = process.communicate(timeout=60)[0].splitlines()
        assert lines == [shown, shown]


def test_what_slurm_gives_is_taken_without_a_lock(machine: Machine) -> None:
    given = {"CUDA_VISIBLE_DEVICES": "1", "SLURM_JOB_GPUS": "1"}
    assert machine.cards(1, **given) == machine.cards(1, **given) == ["GPU-111"]
    several = given | {"CUDA_VISIBLE_DEVICES": "1,2"}  # an allocation that jobs share
    assert machine.cards(1, **several) == ["GPU-111"]
    assert machine.cards(1, **several) == ["GPU-222"]


def test_a_machine_without_cards_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert lease(2) == []
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert capsys.readouterr().err == ""
    smi(tmp_path, cards=0, code=9)  # a driver that does not answer
    monkeypatch.setattr(module, "QUERY", (str(tmp_path / "nvidia-smi"),))
    assert lease(1) == []
    assert "nvidia-smi tells no GPUs" in capsys.readouterr().err
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert visible_cards() == []


def test_other_users_can_read_the_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_LEASES", str(tmp_path))
    monkeypatch.setattr(module, "_held", [])
    before = os.umask(0o077)
    try:
        assert module.take(["MIG-1/2"], 1) == ["MIG-1/2"]
    finally:
        os.umask(before)
    path = tmp_path / "holdfast-gpu-MIG-1_2.lock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert len(module._held) == 1
    os.close(module._held[0])
    (tmp_path / "holdfast-gpu-x.lock").symlink_to(path)
    with pytest.raises(HoldfastError, match=r"x\.lock cannot be opened"):
        module.take(["x"], 1)
