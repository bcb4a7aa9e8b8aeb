"""The report and the tables as a browser shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from browser import browse
from small_run import RESULTS, snakemake


@pytest.fixture(scope="module")
def report(finished: Path) -> Path:
    path = finished / RESULTS / "report.html"
    snakemake(finished, "--report", str(path))
    return path


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
