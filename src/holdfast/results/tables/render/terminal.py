"""A table as plain text that fits a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from textwrap import shorten, wrap

from holdfast.results.tables.grid import Entry, Table
from holdfast.text import printable

GAP = 2


def pages(table: Table) -> str:
    """Return the table and its comparisons, with a form feed before each comparison."""
    return "\f".join(terminal(page) for page in (table, *table.comparisons))


def terminal(table: Table, width: int = 120) -> str:
    """Return the table as aligned text at most ``width`` columns wide.

    Intervals are left to the files. A table too wide is printed with three decimals and, where that
    is not enough, in panels that each repeat the row names.
    """
    lines = [*wrap(printable(table.title), width), ""]
    if table.banner:
        lines = [*wrap(f"!! {table.banner}", width), "", *lines]
    columns = _columns(table, _cell)
    widths = _widths(columns)
    if sum(widths) + GAP * (len(widths) - 1) > width:
        columns = _columns(table, _compact)
        widths = _widths(columns)
    for panel in _panels(widths, table.text_columns, width):
        lines += [*_panel(table, columns, widths, panel, width), ""]
    lines += [
        line
        for note in table.notes
        for line in wrap(f"- {printable(note)}", width, subsequent_indent="  ")
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _widths(columns: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in columns]


def _columns(table: Table, form: Callable[[Entry], str]) -> list[list[str]]:
    """Return the printed texts by column: two lines of heading, then the rows."""
    groups = [label for label, span in table.groups for _ in range(span)]
    rows = [row for block in table.blocks for row in block.rows]
    columns = []
    for index, heading in enumerate(table.headings):
        top, _, bottom = heading.rpartition(" ASR ")
        stacked = [top, f"ASR {bottom}"] if top else ["", heading]
        if groups:
            stacked = [groups[index], heading]
        columns.append(
            [printable(text) for text in (*stacked, *(form(row[index]) for row in rows))]
        )
    return columns


def _cell(cell: Entry) -> str:
    best = "†" if cell.best else ""
    change = f" {cell.arrow}{cell.amount}{cell.marks}" if cell.amount else ""
    return f"{cell.text}{best}{change}"


def _compact(cell: Entry) -> str:
    """Print numbers with three decimals and without a leading zero."""

    def short(match: re.Match[str]) -> str:
        return f"{float(match[0]):.3f}".removeprefix("0")

    return re.sub(r"\d+\.\d{4}(?![\de])", short, _cell(cell))


def _panels(widths: Sequence[int], text_columns: int, width: int) -> list[list[int]]:
    names = list(range(text_columns))
    taken = sum(widths[column] + GAP for column in names)
    panels: list[list[int]] = []
    free = 0
    for column in range(text_columns, len(widths)):
        if not panels or widths[column] + GAP > free:
            panels.append([*names])
            free = width - taken + GAP
        panels[-1].append(column)
        free -= widths[column] + GAP
    return panels


def _panel(
    table: Table,
    columns: Sequence[Sequence[str]],
    widths: Sequence[int],
    panel: Sequence[int],
    limit: int,
) -> list[str]:
    def line(row: int) -> str:
        texts = [
            columns[column][row].ljust(widths[column])
            if column < table.text_columns
            else columns[column][row].rjust(widths[column])
            for column in panel
        ]
        return (" " * GAP).join(texts)

    rule = "─" * len(line(1))
    lines = [text for text in (line(0), line(1)) if text.strip()] + [rule]
    row = 2
    for block in table.blocks:
        if block.titles and row > 2:
            lines.append("")
        lines += [shorten(printable(title), limit) for title in block.titles]
        for _ in block.rows:
            lines.append(line(row))
            row += 1
    return [*lines, rule]
