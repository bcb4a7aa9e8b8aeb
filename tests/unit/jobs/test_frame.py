"""The frame of a job: its log, its one sentence, its manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frames import DONE, FRAME, run
from holdfast.files.atomic import SNAKEMAKE_TIMESTAMP, write_json
from holdfast.files.manifest import write_manifest
from holdfast.jobs.dates import settle


def test_output_goes_to_the_log_and_a_manifest_is_written(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "logs" / "job.log").read_text() == "to the log\n"
    assert (tmp_path / "out.json").read_text() == "1"
    manifest = json.loads((tmp_path / "out.json.manifest.json").read_text())
    assert manifest["settings"] == [{"a": 1}]
    assert list(manifest["inputs"]) == [str(tmp_path / "in.json")]


def test_a_users_mistake_is_one_sentence_on_the_terminal(tmp_path: Path) -> None:
    done = run(tmp_path, "raise HoldfastError('beta: too large')")
    assert done.returncode == 1
    assert done.stderr == "holdfast: beta: too large\n"
    assert "Traceback" not in (tmp_path / "logs" / "job.log").read_text()


def test_a_bug_points_to_the_log_that_has_the_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "1 / 0")
    assert done.returncode == 1
    assert done.stderr == f"evaluate failed: see {tmp_path / 'logs' / 'job.log'}\n"
    assert "ZeroDivisionError" in (tmp_path / "logs" / "job.log").read_text()


@pytest.mark.parametrize("known", [True, False])
def test_an_input_from_the_future_is_dated_now_if_it_has_a_manifest(
    known: bool, tmp_path: Path
) -> None:
    """Snakemake refuses outputs older than an input. Users' own files are left alone."""
    write_json(tmp_path / "in.json", {"x": 1})
    if known:
        write_manifest([str(tmp_path / "in.json")], [], "data", {}, None)
    dated = "(folder / 'dated').write_text(str((folder / 'in.json').stat().st_mtime))"
    body = f"{dated}; {DONE}"
    code = FRAME.replace("{body}", body)
    os.utime(tmp_path / "in.json", (time.time() + 3600,) * 2)
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, check=True)
    assert (float((tmp_path / "dated").read_text()) <= time.time()) is known


def test_a_folder_from_the_future_is_dated_by_snakemakes_file_in_it(tmp_path: Path) -> None:
    stamp = tmp_path / SNAKEMAKE_TIMESTAMP
    stamp.touch()
    os.utime(stamp, (time.time() + 3600,) * 2)
    settle(tmp_path)
    assert stamp.stat().st_mtime <= time.time()
    os.utime(stamp, (1, 1))
    settle(tmp_path)
    assert stamp.stat().st_mtime == 1


@pytest.mark.parametrize("damage", [b"{}\n", b""])
def test_a_damaged_input_is_refused_and_named(tmp_path: Path, damage: bytes) -> None:
    assert run(tmp_path).returncode == 0
    write_manifest([str(tmp_path / "in.json")], [], "data", {}, None)
    done = run(tmp_path)
    assert done.returncode == 0
    code = FRAME.replace("{body}", DONE)
    (tmp_path / "in.json").write_bytes(damage)
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "in.json does not have the hash" in done.stderr
