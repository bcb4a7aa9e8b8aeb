"""Dates in the future, which artifacts have after a clock was set back."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from holdfast.files.atomic import SNAKEMAKE_TIMESTAMP


def settle(artifact: str | Path) -> None:
    """Give an artifact the date of now if its own lies in the future.

    Snakemake refuses what is made from it as older than its input, and would make that again and
    again until the date has passed. Nothing that is made here depends on a date.
    """
    path = Path(artifact)
    dated = path / SNAKEMAKE_TIMESTAMP if path.is_dir() else path
    with suppress(OSError):
        if dated.stat().st_mtime > time.time():
            os.utime(dated)
