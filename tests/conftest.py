"""Fixtures shared by all tests, and the tier each folder stands for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("unit", "workflow", "pocket", "slurm", "gpu")
SHARING = (Path("tests/pocket"), Path("tests/slurm"))
# Tests of the embedded world that do not begin with the finished run of its conftest.
RUNS_OF_THEIR_OWN = ("test_odd_checkpoints.py", "test_paper_tiny.py", "test_real_data.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(ROOT / "tests").parts[0]
        if tier in TIERS:
            item.add_marker(tier)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give what tests share to one worker, which makes it once: a run, a cluster, a file's own."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = Path(nodeid.partition("::")[0])
            shared = file.parent in SHARING and file.name not in RUNS_OF_THEIR_OWN
            return str(file.parent if shared else file)

    return Sharing(config, log)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real HarmBench, AdvBench, WikiText-2 and refusal files."""
    folder = Path(os.environ.get("HOLDFAST_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set HOLDFAST_DATA")
    return folder
