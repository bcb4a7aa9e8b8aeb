"""Where the dry runs plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from places import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder that shares the config but no results."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    return tmp_path
