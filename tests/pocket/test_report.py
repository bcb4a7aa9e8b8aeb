"""The report and the tables as a browser shows them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from small_run import RESULTS, snakemake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --enable-logging=stderr"
)


@pytest.fixture(scope="module")
def report(finished: Path) -> Path:
    path = finished / RESULTS / "report.html"
    snakemake(finished, "--report", str(path))
    return path


def browse(page: Path, profile: Path) -> tuple[str, list[str]]:
    """Return the page as Chromium renders it, and what its console said."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return run.stdout, re.findall(r"CONSOLE.*", run.stderr)


def test_the_report_opens_without_a_console_error(report: Path, tmp_path: Path) -> None:
    page, console = browse(report, tmp_path)
    assert "Tables" in page
    assert "Figures" in page
    # React's own notice that it is a development build is no error of the page.
    assert not [line for line in console if re.search("error|uncaught", line, re.IGNORECASE)]


@pytest.mark.parametrize("table", ["table1", "table2", "table4", "judges", "kappa", "flips"])
def test_tables_open_without_a_console_error(finished: Path, tmp_path: Path, table: str) -> None:
    page, console = browse(finished / RESULTS / "tables" / f"{table}.html", tmp_path)
    assert "<table" in page
    assert console == []
