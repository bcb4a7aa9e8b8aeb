"""A table as LaTeX, with the packages booktabs and graphicx."""

from __future__ import annotations

from holdfast.results.tables.grid import Entry, Table, TableBlock
from holdfast.text import printable

SYMBOLS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "×": r"$\times$",
    "σ": r"$\sigma$", "α": r"$\alpha$", "–": "--", "≥": r"$\geq$", "−": "$-$", "’": "'",
    "±": r"$\pm$", "°": r"$^{\circ}$",
    "[": "{[}", "*": "{*}",  # after a line break, bare ones would be its arguments
}  # fmt: skip

# A table wider than the line is made smaller, and no other.
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def to_latex(table: Table) -> str:
    """Return a ``table*`` float, and one for each comparison; all labels are escaped."""
    return "\n".join(_float(one) for one in (table, *table.comparisons))


def _float(table: Table) -> str:
    caption = f" {escape(table.caption)}" if table.caption else ""
    spans = "l" * table.text_columns + "r" * (len(table.headings) - table.text_columns)
    lines = [
        r"% Needs \usepackage{booktabs,graphicx,xcolor}"
        r" and, for \textquotedbl, \usepackage[T1]{fontenc}.",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{\textbf{{{escape(table.title)}.}}{caption}}}",
        rf"\label{{tab:{''.join(c for c in table.name if c.isalnum() or c in '-:')}}}",
    ]
    if table.banner:
        lines.append(rf"\fbox{{\parbox{{0.9\linewidth}}{{\bfseries {escape(table.banner)}}}}}\par")
    lines += [FITTED, rf"\begin{{tabular}}{{{spans}}}", r"\toprule", *_groups(table)]
    lines += [_line([_heading(heading) for heading in table.headings])]
    for block in table.blocks:
        lines += [r"\midrule", *_block(block, len(table.headings))]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\smallskip"]
    notes = r" \par ".join(escape(note) for note in table.notes)
    lines += [rf"\begin{{minipage}}{{\linewidth}}\scriptsize {notes}\end{{minipage}}"]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def escape(text: str) -> str:
    """Return ``text`` so that LaTeX prints it as it is."""
    return "".join(SYMBOLS.get(symbol, symbol) for symbol in printable(text))


def _groups(table: Table) -> list[str]:
    if not table.groups:
        return []
    cells, rules, column = [], [], 1
    for label, span in table.groups:
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(label)}}}")
        if label:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [_line(cells), "".join(rules)]


def _block(block: TableBlock, columns: int) -> list[str]:
    titles = [
        rf"\multicolumn{{{columns}}}{{l}}{{\textbf{{{escape(title)}}}}} \\"
        for title in block.titles
    ]
    rows = "\n\\addlinespace[2pt]\n".join(
        _line([_cell(cell) for cell in row]) for row in block.rows
    )
    return [*titles, rows]


def _heading(text: str) -> str:
    """Stack a heading's words, so that a column is no wider than its numbers."""
    words = text.split(" ")
    if len(words) < 3:
        return escape(text)
    return _stack(escape(" ".join(words[:-2])), escape(" ".join(words[-2:])))


def _cell(cell: Entry) -> str:
    text = escape(cell.text)
    if cell.best:
        text = rf"\textbf{{{text}}}"
    if cell.amount:
        change = f"({escape(cell.arrow)}{escape(cell.amount)}{escape(cell.marks)})"
        text += rf" \textcolor{{gray}}{{{change}}}" if cell.in_floor else f" {change}"
    return _stack(text, rf"\tiny {escape(cell.interval)}") if cell.interval else text


def _stack(top: str, bottom: str) -> str:
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{top}\\{bottom}\end{{tabular}}"


def _line(cells: list[str]) -> str:
    return rf"{' & '.join(cells)} \\"
