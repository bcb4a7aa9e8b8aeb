"""Build a table from its settings and write it as CSV, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_text
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.tables.grid import Table
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.tidy import to_csv
from holdfast.settings.tables import TableSettings

RENDERERS = {".md": to_markdown, ".tex": to_latex, ".html": to_html}


def build_table(name: str, settings: TableSettings, inputs: Inputs, context: Context) -> Table:
    """Build a table: with ``build`` of the module beside this one that its kind names.

    Raises HoldfastError naming the table and the missing input.
    """
    kind = import_module(f"holdfast.results.tables.{settings.kind}")
    try:
        table: Table = kind.build(name, settings, inputs, context)
    except HoldfastError as error:
        raise HoldfastError(f"table '{name}': {error}") from None
    return table


def save_table(
    table: Table, out_prefix: str | Path, columns: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Write a table in every format; ``columns`` are further ones of the CSV, see ``to_csv``."""
    write_text(f"{out_prefix}.csv", table.csv or to_csv(table.records, columns))
    for suffix, render in RENDERERS.items():
        write_text(f"{out_prefix}{suffix}", render(table))
