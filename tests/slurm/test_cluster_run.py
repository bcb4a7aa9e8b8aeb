"""The pipeline in a real SLURM cluster: what is asked of it, what comes out, and faults."""

from __future__ import annotations

import itertools
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from cluster import Cluster, Job, missing
from slurm_run import (
    RESULTS,
    finish,
    run_locally,
    slurm_logs,
    start,
    wait_until,
    working_folder,
)

TABLES = ("table1", "table2", "judges")
ON_CARDS = {
    "base_model",
    "judge_model",
    "first_order",
    "layer_scores",
    "zeroth_order",
    "quantize",
    "evaluate_0",
    "judge_0",
}
ON_PROCESSORS = {"pocket_world", "summary_0", "agreement"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on this machine: what every other must equal."""
    if reason := missing():
        pytest.skip(reason)
    folder = working_folder(tmp_path_factory.mktemp("here") / "run")
    run_locally(folder)
    return folder


@pytest.fixture(scope="module")
def finished(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in the cluster that nothing disturbed."""
    folder = working_folder(tmp_path_factory.mktemp("cluster") / "run")
    finish(slurm, folder)
    return folder


def jobs_of(slurm: Cluster, folder: Path) -> list[dict[str, str]]:
    return [job for job in slurm.queue() if job["workdir"] == str(folder)]


def rule(job: dict[str, str]) -> str:
    return job["comment"].removeprefix("rule_").partition("_wildcards_")[0]


def times(slurm: Cluster, folder: Path) -> dict[str, Job]:
    records = {str(job.number): job for job in slurm.jobs()}
    numbers = [job["number"] for job in jobs_of(slurm, folder)]
    return {number: records[number] for number in numbers if number in records}


def together(one: Job, other: Job) -> bool:
    return one.start < other.end and other.start < one.end


def assert_tables_equal(folder: Path, local: Path, tables: tuple[str, ...] = TABLES) -> None:
    for table, suffix in itertools.product(tables, ("csv", "md", "tex", "html", "txt")):
        name = RESULTS / "tables" / f"{table}.{suffix}"
        assert (folder / name).read_bytes() == (local / name).read_bytes(), name


def test_tables_are_those_of_a_local_run(finished: Path, local: Path) -> None:
    assert_tables_equal(finished, local)


def test_every_heavy_rule_ran_in_the_cluster_with_what_it_asked_for(
    slurm: Cluster, finished: Path
) -> None:
    jobs = jobs_of(slurm, finished)
    assert {rule(job) for job in jobs} == ON_CARDS | ON_PROCESSORS
    for job in jobs:
        assert (job["state"], job["name"][:9]) == ("COMPLETED", "holdfast_"), job
        details = slurm.details(job["number"])
        on_card = rule(job) in ON_CARDS
        assert details.get("TresPerJob") == ("gres:gpu:1" if on_card else None)
        assert details["TRES"].startswith(f"cpu={4 if on_card else 1},"), details["TRES"]
        known = rule(job) not in ("pocket_world", "base_model", "judge_model", "summary_0")
        memory = int(details["MinMemoryNode"].removesuffix("M"))
        assert 2500 < memory < 3000 if known and on_card else memory == 6000
        assert details["TimeLimit"] in ("00:16:00", "01:00:00", "00:15:00"), details["TimeLimit"]


def test_two_jobs_never_share_a_card(slurm: Cluster, finished: Path) -> None:
    jobs = times(slurm, finished)
    on_cards = [jobs[job["number"]] for job in jobs_of(slurm, finished) if rule(job) in ON_CARDS]
    assert all(len(job.gpus) == 1 for job in on_cards)
    pairs = [pair for pair in itertools.combinations(on_cards, 2) if together(*pair)]
    assert pairs  # some ran at the same time
    assert not [pair for pair in pairs if pair[0].gpus & pair[1].gpus]


def test_faults_change_nothing_and_lose_nothing(
    slurm: Cluster, local: Path, tmp_path: Path
) -> None:
    """One run from a trained arm to its table meets every fault."""
    folder = working_folder(tmp_path / "run")
    for name in ("world", "data", "models", "judges", "pocket/fo/seed0/weights"):
        shutil.copytree(local / RESULTS / name, folder / RESULTS / name)
    shutil.copytree(local / ".snakemake" / "metadata", folder / ".snakemake" / "metadata")

    def jobs(rule_name: str, state: str = "") -> list[str]:
        every = [job for job in jobs_of(slurm, folder) if rule(job) == rule_name]
        return [job["number"] for job in every if job["state"].startswith(state)]

    def running() -> list[str]:
        return jobs("evaluate_0", "RUNNING")

    too_little = ("table1", "--set-resources", "quantize:mem_mb=attempt**2*500")
    snakemake = start(slurm, folder, *too_little)
    try:
        wait_until(running, "an evaluation runs")
        (killed,), (again,) = jobs("quantize", "FAILED"), jobs("quantize", "COMPLETED")
        assert slurm.details(killed)["MinMemoryNode"] == "500M"
        assert slurm.details(again)["MinMemoryNode"] == "2000M"
        assert "exceeded memory limit" in slurm_logs(folder)

        slurm.run("scancel", *running())
        wait_until(lambda: len(jobs("evaluate_0")) == 2 and running(), "it is tried again")

        snakemake.send_signal(signal.SIGINT)
        snakemake.wait(timeout=300)
        wait_until(lambda: not running(), "Snakemake cancels it")

        snakemake = start(slurm, folder, "table1")
        wait_until(running, "it runs once more")
        snakemake.kill()
        snakemake.wait(timeout=300)
        (left,) = running()
    finally:
        snakemake.kill()
    finish(slurm, folder, "--unlock")
    assert f"a killed run left in SLURM: {left}\n" in finish(slurm, folder, "table1")

    assert left in jobs("evaluate_0", "CANCELLED")
    assert len(jobs("evaluate_0", "CANCELLED")) == 3
    assert_tables_equal(folder, local, ("table1",))
    every = jobs_of(slurm, folder)
    assert {rule(job) for job in every} == {"quantize", "evaluate_0", "judge_0", "summary_0"}
    done = Counter(job["comment"] for job in every if job["state"] == "COMPLETED")
    assert set(done.values()) == {1}  # nothing that was finished was made again
    when = times(slurm, folder)
    for name in ("quantize", "evaluate_0"):
        tries = [when[number] for number in jobs(name) if number in when]
        pairs = itertools.combinations(tries, 2)
        assert not [pair for pair in pairs if together(*pair)]  # two on the same files
