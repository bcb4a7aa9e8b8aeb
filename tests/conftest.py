"""Fixtures shared by all tests, and the tier each folder stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("unit", "workflow", "pocket", "slurm", "gpu")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(ROOT / "tests").parts[0]
        if tier in TIERS:
            item.add_marker(tier)
        item.add_marker(pytest.mark.xdist_group(_shared(item, tier)))


def _shared(item: pytest.Item, tier: str) -> str:
    """Name what tests share and one worker makes once: a run, a cluster, or a file's own."""
    if "finished" in getattr(item, "fixturenames", ()) and tier == "pocket":
        return "the finished run"
    return "the cluster" if tier == "slurm" else str(item.path)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real HarmBench, AdvBench, WikiText-2 and refusal files."""
    folder = Path(os.environ.get("HOLDFAST_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set HOLDFAST_DATA")
    return folder
