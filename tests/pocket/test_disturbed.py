"""What disturbs a run from outside loses nothing, or is told in one sentence that names it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from holdfast.errors import HoldfastError
from holdfast.files.atomic import SNAKEMAKE_TIMESTAMP
from holdfast.files.manifest import SUFFIX, recorded_hashes, verify
from small_run import RESULTS, ROOT, command

ARMS = RESULTS / "pocket"
ZO = ARMS / "zo_robust" / "seed0"
NO_ARTIFACTS = ("logs", "benchmarks", "scratch")
HOUR = 3600.0


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A finished run to disturb."""
    subprocess.run(["cp", "-a", str(finished), str(tmp_path / "copy")], check=True)
    return tmp_path / "copy"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Snakemake as a terminal would: in a process group of its own, heeding Ctrl-C.

    What runs in a shell's background, as all its children, ignores it.
    """
    return subprocess.Popen(
        command(folder, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate()
    return process.returncode, output


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not holds():
        assert process.poll() is None, end(process)
        time.sleep(0.05)


def evaluation(snakemake: subprocess.Popen[str]) -> psutil.Process:
    """Return the job of a Snakemake that evaluates an arm."""
    [found] = [
        child
        for child in psutil.Process(snakemake.pid).children(recursive=True)
        if any(".evaluate.py" in part for part in child.cmdline()[:2])
    ]
    return found


def assert_same_tables(folder: Path, finished: Path) -> None:
    tables = sorted((finished / RESULTS / "tables").glob("*.csv"))
    assert tables
    for table in tables:
        again = folder / table.relative_to(finished)
        assert again.read_bytes() == table.read_bytes(), table.name


def date(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() + seconds,) * 2)


def test_stopped_doubled_and_orphaned_runs_end_in_the_same_tables(
    finished: Path, copy: Path
) -> None:
    """Ctrl-C; a second Snakemake beside the first; a Snakemake that is killed alone, whose job goes
    on while the next one starts it once more. Dates are in the future all the while.
    """
    journals = copy / RESULTS / "scratch" / ZO.relative_to(RESULTS)
    for path in [*(copy / ZO).glob("*/completions.jsonl"), *journals.rglob("*.jsonl")]:
        path.unlink()
    for path in [*(copy / ZO).glob("*/verdicts"), copy / RESULTS / "tables"]:
        shutil.rmtree(path)
    for path in (copy / ZO).glob("*/summary.json"):
        path.unlink()
    # An input of what is missing, and an output whose input is made again after it.
    date(copy / ZO / "w4a16" / "quantized" / SNAKEMAKE_TIMESTAMP, HOUR)
    date(copy / ARMS / "fo" / "seed0" / "layers" / "robustness" / "selection.json", HOUR)
    date(copy / ARMS / "fo" / "seed0" / "layers" / "robustness" / "scores-0.json", 0.0)

    def pieces() -> int:
        return sum(path.read_bytes().count(b"\n") for path in journals.glob("*.jsonl"))

    first = start(copy)
    wait_until(lambda: pieces() > 10, first)
    job = evaluation(first)
    job.suspend()  # so that it is not done before its time
    status, output = end(start(copy))
    assert status == 1
    assert "Directory cannot be locked" in output
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGINT)
    job.resume()
    status, output = end(first)
    assert status == 1, output
    kept = pieces()
    assert kept > 10
    assert not list((copy / ZO).glob("*/completions.jsonl"))

    killed = start(copy)
    wait_until(lambda: pieces() > kept, killed)
    orphan = evaluation(killed)
    orphan.suspend()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert end(start(copy, "--unlock"))[0] == 0
    last = start(copy)
    lines = []
    at_last = threading.Timer(300, orphan.resume)  # so that nothing waits for ever
    at_last.start()
    assert last.stdout
    for line in last.stdout:
        lines.append(line)
        if f"holdfast: process {orphan.pid} on" in line:
            assert "is still at this work" in line
            orphan.resume()
    at_last.cancel()
    assert last.wait() == 0, "".join(lines)
    assert any("is still at this work" in line for line in lines), "".join(lines)
    assert_same_tables(copy, finished)
    status, output = end(start(copy, "-n"))
    assert "Nothing to be done" in output


def artifacts(results: Path) -> Iterator[Path]:
    """Yield what jobs have made: every file or folder that is not part of another."""
    for path in sorted(results.rglob("*")):
        top = path.relative_to(results).parts[0]
        if top in NO_ARTIFACTS or path.name.endswith(SUFFIX) or not path.is_file():
            continue
        owners = [path, *path.parents[: len(path.relative_to(results).parts) - 1]]
        yield next((owner for owner in owners if recorded_hashes(owner)), path)


def flip(path: Path) -> None:
    """Flip the last bit of a file, and leave its date: a disk's fault, not a person's edit."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    largest = max(files, key=lambda one: one.stat().st_size)
    dates = largest.stat().st_atime_ns, largest.stat().st_mtime_ns
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    os.utime(largest, ns=dates)


def test_one_flipped_bit_in_any_artifact_is_found(copy: Path) -> None:
    found = list(dict.fromkeys(artifacts(copy / RESULTS)))
    kinds = {"weights", "quantized", "harmbench", "completions.jsonl", "utility.json", "world"}
    kinds |= {"pocket", "harmbench.jsonl", "selection.json", "scores-0.json", "summary.json"}
    kinds |= {"cost.json", "history.json", "alignment.jsonl", "behaviors.jsonl", "table2.csv"}
    assert kinds <= {path.name for path in found}
    for path in found:
        assert verify(path), f"{path} has no manifest"
        flip(path)
        with pytest.raises(HoldfastError, match=f"^{path} does not have the hash"):
            verify(path)
        flip(path)


def test_every_job_verifies_its_inputs() -> None:
    scripts = {path.stem: path.read_text() for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert {name for name, text in scripts.items() if "with job(snakemake)" not in text} == {
        "preflight",
        "status",
    }


PLAIN = "pocket/original/seed0/none"
DAMAGED = {  # and what is to be made from it
    "pocket/fo_long/seed0/weights": "pocket/fo_long/seed0/none/completions.jsonl",
    "pocket/zo/seed0/weights": "pocket/zo/seed0/none/completions.jsonl",
    "pocket/fo/seed0/layers/robustness/selection.json": "pocket/zo_robust/seed0/weights",
    "pocket/fo/seed0/none/completions.jsonl": "pocket/fo/seed0/none/verdicts/harmbench.jsonl",
    f"{PLAIN}/verdicts/harmbench.jsonl": f"{PLAIN}/summary.json",
}


def test_nothing_is_built_on_a_damaged_artifact(copy: Path) -> None:
    targets = [RESULTS / target for target in DAMAGED.values()]
    for artifact, target in zip(DAMAGED, targets, strict=True):
        flip(copy / RESULTS / artifact)
        remove(copy / target)
    status, output = end(start(copy, *map(str, targets)))
    assert status == 1
    for artifact in DAMAGED:
        assert f"holdfast: {RESULTS / artifact} does not have the hash" in output
    assert not [target for target in targets if (copy / target).exists()]
    assert "Traceback" not in output


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def test_a_table_is_not_built_on_a_damaged_summary(finished: Path, copy: Path) -> None:
    summary, table = (
        ARMS / "fo" / "seed0" / "w4a4" / "summary.json",
        RESULTS / "tables" / "table4.csv",
    )
    flip(copy / summary)
    (copy / table).unlink()
    status, output = end(start(copy, str(table)))
    assert status == 1
    assert f"holdfast: {summary} does not have the hash" in output
    assert not (copy / table).exists()
    (copy / summary).unlink()
    status, output = end(start(copy, str(table)))
    assert status == 0, output
    assert_same_tables(copy, finished)


def test_an_arm_that_diverges_leaves_the_others_alone(finished: Path, copy: Path) -> None:
    overlay = copy / "diverging.yaml"
    overlay.write_text("arms: {fo_long: {learning_rate: 1.0e+30}}\n")
    for name in ("tables", "figures"):
        shutil.rmtree(copy / RESULTS / name)
    run = subprocess.run(
        [*command(copy), str(overlay)], capture_output=True, text=True, check=False, cwd=copy
    )
    output = run.stdout + run.stderr
    assert run.returncode == 1
    assert re.search(r"holdfast: arms\.fo_long: first-order step \d: the loss is", output)
    assert "lower learning_rate (1e+30) or max_grad_norm (1.0), or check the training" in output
    assert not (copy / ARMS / "fo_long" / "seed0" / "weights").exists()
    made = sorted(path.name for path in (copy / RESULTS / "tables").glob("*.csv"))
    assert made == sorted(
        f"{name}.csv"
        for name in ("flips", "hidden_danger", "kappa", *(f"table{n}" for n in (1, 2, 3, 4, 6)))
    )
    for name in made:
        table = RESULTS / "tables" / name
        assert (copy / table).read_bytes() == (finished / table).read_bytes(), name


@pytest.mark.parametrize("place", [RESULTS, Path()], ids=["results", "working directory"])
def test_a_read_only_folder_is_one_sentence_before_any_work(
    place: Path, tmp_path: Path, finished: Path
) -> None:
    (tmp_path / RESULTS).mkdir(parents=True)
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "config").symlink_to(ROOT / "config")
    folder = str(tmp_path / place)
    for arguments in (["--bind", folder, folder], ["-o", "remount,ro,bind", folder]):
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a read-only folder cannot be mounted here ({done.stderr.strip()})")
    try:
        status, output = end(start(tmp_path))
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
    name = RESULTS if place == RESULTS else ".snakemake"
    assert status == 1
    assert f"holdfast: {name} cannot be used: the file system is read-only (" in output
    assert "Traceback" not in output
