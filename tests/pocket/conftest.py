"""One finished run of the embedded world, shared by the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_run import snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small config has run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    snakemake(folder)
    return folder
