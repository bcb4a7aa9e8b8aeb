"""What jobs would ask a SLURM cluster for, by dry runs with the profile."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from holdfast.config import load_settings
from holdfast.plan import Plan
from holdfast.settings.models import ModelSettings
from places import ROOT

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
PROFILE = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())


@pytest.fixture(scope="module")
def asked() -> dict[str, list[dict[str, str]]]:
    """Resources of every job of the paper's run, by rule."""
    command = [SNAKEMAKE, "-n", "--workflow-profile", "profiles/slurm"]
    command += ["--configfile", "config/paper.yaml", "--config", "gpu_model=h100", "run=profile"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    jobs = re.findall(
        r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)", run.stdout, re.M
    )
    found = defaultdict(list)
    for name, resources in jobs:
        found[name].append(dict(part.split("=", 1) for part in resources.split(", ")))
    return found


def test_every_job_asks_for_memory_and_time(asked: dict[str, list[dict[str, str]]]) -> None:
    assert len(asked) >= 15
    for name, jobs in asked.items():
        for job in jobs:
            assert int(job["mem_mb"]) >= 2000, name
            assert 15 <= int(job["runtime"]) <= PROFILE["resources"]["runtime"], name


def test_no_job_asks_for_more_time_than_the_partition_gives(
    asked: dict[str, list[dict[str, str]]],
) -> None:
    (longest,) = {job["runtime"] for job in asked["evaluate_0"]}
    assert int(longest) == PROFILE["resources"]["runtime"]  # its estimate is more


def test_only_jobs_on_cards_name_their_kind(asked: dict[str, list[dict[str, str]]]) -> None:
    for name in ("first_order", "zeroth_order", "quantize", "layer_scores", "judge_0"):
        for job in asked[name]:
            assert (job["gpu"], job["gpu_model"], job["cpus_per_gpu"]) == ("1", "h100", "4")
    for name in ("base_model", "judge_model", "summary_0", "table"):
        assert not [job for job in asked[name] if "gpu_model" in job], name


def test_models_that_are_only_fetched_are_fetched_where_snakemake_runs() -> None:
    hub = ModelSettings(hub="org/name", revision="a" * 40, layers=2)
    plan = Plan(load_settings(yaml.safe_load((ROOT / "config" / "config.yaml").read_text())))
    assert plan.models.only_fetched(
        {"one": hub, "other": ModelSettings(path="somewhere", layers=2)}
    )
    assert not plan.models.only_fetched({"one": hub} | plan.settings.models)
