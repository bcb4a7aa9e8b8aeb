"""Jobs that a killed Snakemake left in a SLURM cluster: they end before new ones start.

An interrupted Snakemake cancels its jobs. One that is killed outright, or whose machine goes down,
cannot: its jobs run on, and the next Snakemake would start the same ones beside them, on the same
files. So the name that SLURM knows a Snakemake's jobs by is written down where they write, and the
next one there looks for jobs of that name first.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError

LEFT_BEHIND = Path(".snakemake", "holdfast", "slurm")
PAUSE_S = 1.0
PATIENCE_S = 600.0  # clusters give a job half a minute between SIGTERM and SIGKILL


def take_over(workflow: Any, run: str) -> None:
    """End the jobs of an earlier Snakemake of ``run``, and note the name of this one's.

    For the Snakefile's ``onstart``: Snakemake has locked the run's files by then, so whoever
    submitted those jobs is gone. Without that lock (``--nolock``) nothing is ended.
    """
    if workflow.execution_settings.lock:
        # None where jobs run on this machine; the plugin for SLURM tells it by no other way.
        ours = getattr(workflow.scheduler._executor, "run_uuid", None)
        try:
            end_left_behind(LEFT_BEHIND / run, ours)
        except HoldfastError as error:
            sys.exit(f"holdfast: {error}")


def end_left_behind(file: Path, ours: str | None) -> None:
    """Cancel the jobs of the names in ``file``, wait for their end, and put ``ours`` there.

    Where no SLURM is, names are only added. Raises HoldfastError when SLURM does not answer, does
    not let the jobs be cancelled, or does not end them within ten minutes.
    """
    earlier = file.read_text().split() if file.exists() else []
    if earlier and shutil.which("squeue"):
        _end(earlier)
        earlier = []
    if names := [*earlier, *([ours] if ours else [])]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names))
    else:
        file.unlink(missing_ok=True)


def _end(names: Sequence[str]) -> None:
    jobs = _queued(names)
    if not jobs:
        return
    print(
        f"holdfast: ending the jobs that a killed run left in SLURM: {', '.join(jobs)}",
        file=sys.stderr,
    )
    _ask("scancel", *jobs)
    start = time.monotonic()
    while jobs := _queued(names):
        if time.monotonic() - start > PATIENCE_S:
            raise HoldfastError(
                f"SLURM jobs of an earlier run do not end ({', '.join(jobs)}), and new ones would"
                " write the same files: see `squeue`, and start again when they are gone"
            )
        time.sleep(PAUSE_S)


def _queued(names: Sequence[str]) -> list[str]:
    """Return the numbers of the jobs of these names that have not ended."""
    return _ask("squeue", "--noheader", "--format=%i", f"--name={','.join(names)}").split()


def _ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise HoldfastError(
            f"jobs of an earlier run may still write the same files, and `{command[0]}` fails"
            f" ({done.stderr.strip()}): start again when SLURM answers"
        )
    return done.stdout
