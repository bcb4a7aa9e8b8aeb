"""Where the dry runs plan."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder that shares the config but no results."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    return tmp_path
