"""`holdfast show`: a table or sweep; `preflight`: checks before a run; `status`: how far it is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from holdfast.errors import HoldfastError, nearest
from holdfast.jobs.status import status
from holdfast.text import tell


def main() -> None:
    """Run the command line; a mistake ends with one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="holdfast", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print a table and where the results are")
    show.add_argument("results", type=Path, help="a run's folder, such as results/pocket")
    shown = show.add_mutually_exclusive_group()
    shown.add_argument("--table", default="table2", help="table to print (default: table2)")
    shown.add_argument("--sweep", metavar="ARM", help="print the table of an arm's sweep instead")
    show.add_argument("--published", action="store_true", help="compare it with published numbers")
    check = commands.add_parser("preflight", help="check everything that a run needs")
    check.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="laid over config/config.yaml"
    )
    watch = commands.add_parser("status", help="print what a run finished, runs and failed at")
    watch.add_argument("results", type=Path, help="a run's folder, such as results/pocket")
    arguments = parser.parse_args()
    try:
        if arguments.command == "status":
            print(status(arguments.results))
            return
        if arguments.command == "preflight":
            sys.exit(bool(checked(arguments.configfile)))
        asked = {"sweep": arguments.sweep, "published": arguments.published}
        tell(overview(arguments.results, arguments.table, **asked))
    except HoldfastError as error:
        sys.exit(f"holdfast: {error}")


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


def checked(overlays: list[Path]) -> list[str]:
    """Return the failures of the checks before a run; they print what they find.

    ``overlays`` are laid over config/config.yaml.

    Raises:
        HoldfastError: a file is missing or no YAML, or its settings are wrong.
    """
    from holdfast.config.load import load_files
    from holdfast.preflight import preflight

    return preflight(load_files([Path("config/config.yaml"), *overlays]), tell)


def _names(paths: list[Path]) -> str:
    return ", ".join(path.stem for path in paths)


if __name__ == "__main__":
    main()
