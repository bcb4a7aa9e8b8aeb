"""Build a table from its settings and write it as CSV, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_text
from holdfast.results.tables.claims.table import claims_table
from holdfast.results.tables.comparison import compared
from holdfast.results.tables.cost import cost_table
from holdfast.results.tables.flips import Behaviors, flips_table
from holdfast.results.tables.gap import gap_table
from holdfast.results.tables.grid import Table
from holdfast.results.tables.hidden_danger import hidden_danger_table
from holdfast.results.tables.judge_agreement import judge_agreement_table
from holdfast.results.tables.judge_kappa import judge_kappa_table
from holdfast.results.tables.render.html import to_html
from holdfast.results.tables.render.latex import to_latex
from holdfast.results.tables.render.markdown import to_markdown
from holdfast.results.tables.robustness.layouts import robustness_table
from holdfast.results.tables.tidy import to_csv
from holdfast.settings.claims import ClaimsTable
from holdfast.settings.labels import Labels
from holdfast.settings.tables import (
    CostTable,
    FlipsTable,
    GapTable,
    HiddenDangerTable,
    JudgeAgreementTable,
    JudgeKappaTable,
    RobustnessTable,
)

AnyTable = (
    RobustnessTable
    | CostTable
    | JudgeAgreementTable
    | JudgeKappaTable
    | FlipsTable
    | HiddenDangerTable
    | GapTable
    | ClaimsTable
)
RENDERERS = {".md": to_markdown, ".tex": to_latex, ".html": to_html}


def build_table(
    name: str,
    settings: AnyTable,
    inputs: Sequence[Mapping[str, Any]],
    labels: Labels | None = None,
    behaviors: Behaviors | None = None,
    *,
    meaningless: bool = False,
) -> Table:
    """Build a table.

    ``inputs``: the content of cost.json files (cost), agreement.json files (judge_agreement),
    gap.json files (gap), all but agreement.json files (claims) or else summary.json files, in the
    order models and judges are to appear. ``behaviors``: those that the summaries are about,
    which a table of flips names. ``meaningless``: a model shown is random or untrained; summaries
    also say so themselves.
    Raises HoldfastError naming the table and the missing input.
    """
    labels = labels or Labels()
    try:
        if isinstance(settings, JudgeAgreementTable):
            return judge_agreement_table(name, settings, inputs, labels)
        if isinstance(settings, JudgeKappaTable):
            return judge_kappa_table(name, settings, inputs, labels)
        if isinstance(settings, FlipsTable):
            return flips_table(name, settings, inputs, labels, behaviors)
        if isinstance(settings, HiddenDangerTable):
            return hidden_danger_table(name, settings, inputs, labels)
        if isinstance(settings, GapTable):
            return gap_table(name, settings, inputs, labels, meaningless)
        if isinstance(settings, ClaimsTable):
            return claims_table(name, settings, inputs, labels, meaningless)
        if isinstance(settings, CostTable):
            table = cost_table(name, settings, inputs, labels, meaningless)
        else:
            table = robustness_table(name, settings, inputs, labels)
        return compared(table, settings.published, labels) if settings.published else table
    except HoldfastError as error:
        raise HoldfastError(f"table '{name}': {error}") from None


def write_table(
    name: str,
    settings: AnyTable,
    inputs: Sequence[Mapping[str, Any]],
    out_prefix: str | Path,
    labels: Labels | None = None,
    behaviors: Behaviors | None = None,
    *,
    meaningless: bool = False,
) -> Table:
    """Build a table, write ``<out_prefix>.csv``, ``.md``, ``.tex`` and ``.html``, return it."""
    table = build_table(name, settings, inputs, labels, behaviors, meaningless=meaningless)
    save_table(table, out_prefix)
    return table


def save_table(
    table: Table, out_prefix: str | Path, columns: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Write a table in every format; ``columns`` are further ones of the CSV, see ``to_csv``."""
    write_text(f"{out_prefix}.csv", table.csv or to_csv(table.records, columns))
    for suffix, render in RENDERERS.items():
        write_text(f"{out_prefix}{suffix}", render(table))
