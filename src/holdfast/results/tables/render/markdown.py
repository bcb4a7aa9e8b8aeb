"""A table as GitHub Markdown."""

from __future__ import annotations

import re

from holdfast.results.tables.grid import Entry, Table
from holdfast.text import printable


def to_markdown(table: Table) -> str:
    """Return the Markdown text, comparisons included; all labels are escaped."""
    return "\n".join(_section(one) for one in (table, *table.comparisons))


def _section(table: Table) -> str:
    headings = _headings(table)
    rules = ["---"] * table.text_columns + ["---:"] * (len(headings) - table.text_columns)
    lines = [_line(headings), _line(rules)]
    for block in table.blocks:
        blank = [""] * (len(headings) - 1)
        lines += [_line([f"**{escape(title)}**", *blank]) for title in block.titles]
        lines += [_line([_cell(cell) for cell in row]) for row in block.rows]
    parts = [f"### {escape(table.title)}"]
    if table.banner:
        parts.append(f"> [!WARNING]\n> **{escape(table.banner)}**")
    if table.caption:
        parts.append(_paragraph(table.caption))
    parts += ["\n".join(lines), "\n".join(f"- {escape(note)}" for note in table.notes)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return ``text`` so that Markdown and inline HTML show it as it is."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~$#!])", r"\\\1", text)
    # GitHub acts on @name, http:// and www. even behind a backslash; an entity breaks them.
    text = text.replace("@", "&#64;").replace("://", "&#58;//")
    return re.sub(r"(?i)\b(www)\.", r"\1&#46;", text)


def _paragraph(text: str) -> str:
    """Escape a text that begins a line, where it could make a list, a rule or a heading."""
    text = re.sub(r"^(\d+)([.)])", r"\1\\\2", escape(text).lstrip())
    return re.sub(r"^([-+=])", r"\\\1", text)


def _headings(table: Table) -> list[str]:
    """Markdown has one header row: a group is printed in front of its columns' headings."""
    groups = [label for label, span in table.groups for _ in range(span)]
    over = groups or [""] * len(table.headings)
    return [
        f"{escape(group)}<br>{escape(heading)}" if group else escape(heading)
        for group, heading in zip(over, table.headings, strict=True)
    ]


def _cell(cell: Entry) -> str:
    text = f"**{escape(cell.text)}**" if cell.best else escape(cell.text)
    if cell.amount:
        text += f" ({cell.arrow}{escape(cell.amount)}{escape(cell.marks)})"
    return f"{text}<br><sub>{escape(cell.interval)}</sub>" if cell.interval else text


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
