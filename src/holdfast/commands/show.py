"""`holdfast show`: prints a table or a sweep, and where all results are."""

from __future__ import annotations

import argparse
from pathlib import Path

from holdfast.errors import HoldfastError, nearest
from holdfast.text import tell

HELP = "print a table and where the results are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("results", type=Path, help="a run's folder, such as results/pocket")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--table", default="table2", help="table to print (default: table2)")
    shown.add_argument("--sweep", metavar="ARM", help="print the table of an arm's sweep instead")
    parser.add_argument(
        "--published", action="store_true", help="compare it with published numbers"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    asked = {"sweep": arguments.sweep, "published": arguments.published}
    tell(overview(arguments.results, arguments.table, **asked))
    return 0


def overview(
    results: Path, table: str, *, sweep: str | None = None, published: bool = False
) -> str:
    """Return the text of a table and the places of all tables, figures, sweeps and the report.

    ``sweep``: the text is that of this arm's sweep. ``published``: also print the table's
    comparisons with published numbers, as they were written.

    Raises:
        HoldfastError: there is no such table in ``results``, or it was compared with nothing.
    """
    kind, name = ("sweep", sweep) if sweep else ("table", table)
    pages = _text(results, kind, name).split("\f")  # the table, then its comparisons
    if published and sweep:
        raise HoldfastError("a sweep is compared with no published numbers: leave out --published")
    if published and len(pages) == 1:
        raise HoldfastError(
            f"table '{table}' in {results} was compared with no published numbers: set"
            f" `tables.{table}.published` and run `snakemake {table}` again"
        )
    lines = [*(page.rstrip() + "\n" for page in (pages if published else pages[:1]))]
    tables, sweeps = (sorted(results.glob(f"{kind}s/*.txt")) for kind in ("table", "sweep"))
    if tables:
        lines.append(f"Tables   {results}/tables/   (.md .tex .html .csv: {_names(tables)})")
    figures = sorted(results.glob("figures/*.svg"))
    if figures:
        lines.append(f"Figures  {results}/figures/  (.svg .png: {_names(figures)})")
    if sweeps:
        lines.append(f"Sweeps   {results}/sweeps/   (as tables and figures: {_names(sweeps)})")
    if (results / "report.html").exists():
        lines.append(f"Report   {results}/report.html")
    return "\n".join(lines)


def _text(results: Path, kind: str, name: str) -> str:
    """Read a table as it was written for the terminal; ``kind`` is ``table`` or ``sweep``."""
    names = [path.stem for path in sorted(results.glob(f"{kind}s/*.txt"))]
    if name not in names:
        hint = nearest(name, names) or f"; it has: {', '.join(names) or 'none yet'}"
        raise HoldfastError(f"{results} has no {kind} '{name}'{hint}")
    return (results / f"{kind}s" / f"{name}.txt").read_text(encoding="utf-8", errors="replace")


def _names(paths: list[Path]) -> str:
    return ", ".join(path.stem for path in paths)
