"""A table as a standalone HTML page, readable without color and without the network."""

from __future__ import annotations

from html import escape as escape_html

from holdfast.results.tables.grid import Entry, Table
from holdfast.text import printable

STYLE = """
:root { --ink: #1d2733; --soft: #5b6875; --line: #d8dee5; --better: #00664b; --worse: #a33b00; }
* { box-sizing: border-box; }
body { margin: 2.5rem auto; max-width: 96rem; padding: 0 1.5rem; background: #fff;
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 .4rem; }
p.caption { color: var(--soft); margin: 0 0 1.2rem; max-width: 60rem; }
p.banner { background: #fff4d6; border: 2px solid #b57900; border-radius: 6px; font-weight: 700;
  margin: 1rem 0; padding: .7rem 1rem; }
div.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%;
  border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink); }
th, td { padding: .38rem .7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th.text, td.text { font-weight: 400; text-align: left; }
thead th { font-weight: 650; vertical-align: bottom; white-space: normal; }
thead th.text { font-weight: 650; }
thead tr:last-child th { border-bottom: 1px solid var(--ink); }
thead th.group { border-bottom: 1px solid var(--line); text-align: center; }
tbody + tbody { border-top: 1px solid var(--ink); }
tbody tr + tr:not(.title) > * { border-top: 1px solid #eef1f4; }
tr.title th { background: #f4f6f8; font-weight: 650; padding-top: .5rem; text-align: left; }
tr.title.model th { font-size: 1.05rem; }
td b { text-decoration: underline; text-decoration-thickness: 1px; text-underline-offset: 3px; }
.better { color: var(--better); } .worse { color: var(--worse); }
.floor { color: var(--soft); }
small { color: var(--soft); display: block; font-size: .76rem; line-height: 1.3; }
ul { color: var(--soft); font-size: .85rem; max-width: 68rem; padding-left: 1.1rem; }
@media print { body { margin: 0; max-width: none; font-size: 9pt; } }
"""
COMPARISON_STYLE = "h2 { font-size: 1.15rem; line-height: 1.3; margin: 2.2rem 0 .6rem; }\n"


def to_html(table: Table) -> str:
    """Return the page; all labels are escaped, and nothing is loaded from elsewhere."""
    title = escape(table.title)
    style = STYLE + (COMPARISON_STYLE if table.comparisons else "")
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{style}</style></head>",
        f"<body><main><h1>{title}</h1>",
        *_section(table),
    ]
    for comparison in table.comparisons:
        lines += [f"<h2>{escape(comparison.title)}</h2>", *_section(comparison)]
    return "\n".join([*lines, "</main></body></html>"]) + "\n"


def _section(table: Table) -> list[str]:
    lines = []
    if table.banner:
        lines.append(f'<p class="banner" role="alert">⚠ {escape(table.banner)}</p>')
    if table.caption:
        lines.append(f'<p class="caption">{escape(table.caption)}</p>')
    lines += ['<div class="scroll"><table>', "<thead>", *_head(table), "</thead>"]
    for block in table.blocks:
        lines.append("<tbody>")
        for kind, text in (("title model", block.model), ("title", block.title)):
            if text:
                spanning = f'<th colspan="{len(table.headings)}">{escape(text)}</th>'
                lines.append(f'<tr class="{kind}">{spanning}</tr>')
        lines += [_row(row, table.text_columns) for row in block.rows]
        lines.append("</tbody>")
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*table.notes, *_colors(table)))
    return [*lines, "</table></div>", f"<ul>{notes}</ul>"]


def escape(text: str) -> str:
    """Return ``text`` so that a browser shows it as it is."""
    return escape_html(printable(text))


def _head(table: Table) -> list[str]:
    rows = []
    if table.groups:
        groups = "".join(
            f'<th class="group" scope="colgroup" colspan="{span}">{escape(label)}</th>'
            if label
            else f'<td colspan="{span}"></td>'
            for label, span in table.groups
        )
        rows.append(f"<tr>{groups}</tr>")
    headings = "".join(
        f'<th scope="col"{_text_class(column, table.text_columns)}>{_heading(heading)}</th>'
        for column, heading in enumerate(table.headings)
    )
    return [*rows, f"<tr>{headings}</tr>"]


def _heading(text: str) -> str:
    """Keep the arrow of the better direction on the line of the last word."""
    words, space, last = escape(text).rpartition(" ")
    return f"{words}{'&nbsp;' if last in ('↓', '↑') else space}{last}"


def _row(row: tuple[Entry, ...], text_columns: int) -> str:
    cells = []
    for column, cell in enumerate(row):
        tag = 'th scope="row"' if column < text_columns else "td"
        end = tag.split(" ")[0]
        cells.append(f"<{tag}{_text_class(column, text_columns)}>{_cell(cell)}</{end}>")
    return f"<tr>{''.join(cells)}</tr>"


def _cell(cell: Entry) -> str:
    text = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
    if cell.tone and not cell.amount:
        text = f'<span class="{cell.tone}">{text}</span>'
    if cell.amount:
        change = f"({cell.arrow}{escape(cell.amount)}{escape(cell.marks)})"
        hint = f' class="{cell.tone}" title="{cell.tone}"' if cell.tone else ""
        if cell.in_floor:
            hint = ' class="floor" title="inside the noise floor"'
        text += f" <span{hint}>{change}</span>"
    return f"{text}<small>{escape(cell.interval)}</small>" if cell.interval else text


def _colors(table: Table) -> list[str]:
    tones = any(cell.tone for block in table.blocks for row in block.rows for cell in row)
    if not tones:
        return []
    return ["Color repeats what the text says: green for the better, rust for the worse."]


def _text_class(column: int, text_columns: int) -> str:
    return ' class="text"' if column < text_columns else ""
