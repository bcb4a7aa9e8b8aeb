"""What becomes of the jobs that a killed Snakemake left in SLURM, with squeue and scancel faked."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.errors import HoldfastError
from holdfast.jobs import slurm
from holdfast.jobs.slurm import end_left_behind, take_over

# Jobs are lines "number name" of a file; a cancelled job is listed once more before it is gone.
SQUEUE = """#!/bin/sh
for last; do :; done
echo "$@" >> asked
test -e broken && { echo "no controller" >&2; exit 1; }
names=$(echo "${last#--name=}" | tr , '|')
grep -E " ($names)$" queue | cut -d' ' -f1
if test -e cancelled; then
    while read number; do sed -i "/^$number /d" queue; done < cancelled
fi
true
"""
SCANCEL = """#!/bin/sh
for number; do echo "$number" >> cancelled; done
"""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a queue of three jobs, two of them of the run `holdfast_a`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "PAUSE_S", 0.01)
    for name, script in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "queue").write_text("11 holdfast_a\n12 holdfast_b\n13 holdfast_a\n")
    return tmp_path


def test_jobs_of_an_earlier_run_end_before_new_ones_start(
    queue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = queue / "records" / "mine"
    end_left_behind(record, "holdfast_a")
    assert not (queue / "asked").exists()  # nothing was there before it
    end_left_behind(record, "holdfast_c")
    assert (queue / "cancelled").read_text().split() == ["11", "13"]
    assert (queue / "queue").read_text() == "12 holdfast_b\n"  # gone, and another's is not
    assert record.read_text() == "holdfast_c"
    assert "11, 13" in capsys.readouterr().err


def test_a_local_run_ends_them_too_and_leaves_no_record(queue: Path) -> None:
    record = queue / "records" / "mine"
    end_left_behind(record, None)
    assert not record.exists()
    end_left_behind(record, "holdfast_b")
    end_left_behind(record, None)
    assert (queue / "cancelled").read_text().split() == ["12"]
    assert not record.exists()


def test_without_slurm_names_are_kept_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    record = tmp_path / "mine"
    end_left_behind(record, "holdfast_a")
    end_left_behind(record, None)
    end_left_behind(record, "holdfast_b")
    assert record.read_text().split() == ["holdfast_a", "holdfast_b"]


def test_nothing_starts_beside_jobs_that_may_still_write(
    queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = queue / "mine"
    record.write_text("holdfast_a")
    (queue / "broken").touch()
    with pytest.raises(HoldfastError, match="`squeue` fails \\(no controller\\)"):
        end_left_behind(record, "holdfast_c")
    (queue / "broken").unlink()
    (queue / "scancel").write_text("#!/bin/sh\n")  # the jobs hang
    monkeypatch.setattr(slurm, "PATIENCE_S", 0.1)
    with pytest.raises(HoldfastError, match="do not end \\(11, 13\\)"):
        end_left_behind(record, "holdfast_c")
    assert record.read_text() == "holdfast_a"


@pytest.mark.parametrize(("lock", "ended"), [(True, True), (False, False)])
def test_without_the_lock_another_snakemake_may_live(queue: Path, lock: bool, ended: bool) -> None:
    workflow = SimpleNamespace(
        execution_settings=SimpleNamespace(lock=lock),
        scheduler=SimpleNamespace(_executor=SimpleNamespace(run_uuid="holdfast_c")),
    )
    record = queue / slurm.LEFT_BEHIND / "mine"
    record.parent.mkdir(parents=True)
    record.write_text("holdfast_a")
    take_over(workflow, "mine")
    assert (queue / "cancelled").exists() == ended
    assert (record.read_text() == "holdfast_c") == ended
    (queue / "broken").touch()
    if lock:
        with pytest.raises(SystemExit, match="holdfast: jobs of an earlier"):
            take_over(workflow, "mine")
