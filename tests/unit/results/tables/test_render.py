"""Tables in every format: what is escaped, and what fits."""

from __future__ import annotations

import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from built import build_table
from holdfast.results.tables.grid import Table
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import escape as escape_latex
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.render.terminal import terminal
from holdfast.settings.labels import Labels
from small_tables import RUN, records, settings_of, summary

HOSTILE = "=[x] *a* `b` | $y$ <script>alert(1)</script> \\input{z} & % # _ ~ ^ {} \x1b[31m \n end"


class Page(html.parser.HTMLParser):
    """The tags and the visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_table() -> Table:
    sections = [{"title": HOSTILE, "method": HOSTILE, "arm": "zo", "reference": {"arm": "fo"}}]
    labels = Labels(arms={"zo": HOSTILE, "fo": HOSTILE})
    return build_table("t", settings_of(title=HOSTILE, sections=sections), RUN, labels)


def test_hostile_labels_stay_text() -> None:
    table = hostile_table()
    page = Page(to_html(table))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    pipes = [line.replace("\\|", "").count("|") for line in lines]
    assert len(set(pipes)) == 1
    assert "<script" not in to_markdown(table)
    assert "\\input" not in to_latex(table)
    assert all("\x1b" not in render(table) for render in (to_html, to_latex, to_markdown, terminal))


@given(st.text(alphabet='\\{}$&#%_~^<>|"[]*ab', max_size=30))
def test_latex_escapes_leave_no_special_character(text: str) -> None:
    bare = escape_latex(text)
    for safe in ("\\textbackslash{}", "\\textasciitilde{}", "\\textasciicircum{}", "\\textless{}"):
        bare = bare.replace(safe, "")
    for safe in ("\\textgreater{}", "\\textbar{}", "\\textquotedbl{}", "{[}", "{*}"):
        bare = bare.replace(safe, "")
    for safe in ("\\{", "\\}", "\\$", "\\&", "\\#", "\\%", "\\_"):
        bare = bare.replace(safe, "")
    assert not set(bare) & set('\\{}$&#%_~^<>|"')


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@sum(a)", "\t=x", "\r=x", "|x"])
def test_csv_text_is_never_a_formula(name: str) -> None:
    table = build_table("t", settings_of(sections=[{"arm": name}]), [summary(name)])
    assert {row["arm"] for row in records(table)} == {f"'{name.strip()}"}


def test_html_reads_without_color() -> None:
    page = to_html(build_table("t", settings_of(), RUN))
    text = Page(page).text
    assert "↓ down" in text
    assert "Color repeats what the text says" in text
    assert 'class="better" title="better"' in page


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_fits(width: int) -> None:
    sections = [{"title": "A long title " * 9, "method": "Robust + ZO", "arm": "zo"}]
    sections[0]["reference"] = {"arm": "fo"}  # type: ignore[assignment]
    text = terminal(build_table("t", settings_of(sections=sections), RUN), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("σ=2") == text.count("Perturbation ")
