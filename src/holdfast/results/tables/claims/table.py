"""The table of claims: what the data support, what they contradict, and what they leave open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.errors import HoldfastError
from holdfast.results.measured.beginnings import bos_notes
from holdfast.results.measured.controls import controls_of
from holdfast.results.measured.files import Summary, models_of
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import show
from holdfast.results.measured.pooling import Pooled
from holdfast.results.measured.runs import Arms
from holdfast.results.tables.claims.evidence import (
    Evidence,
    of_change,
    of_cost,
    of_gap,
)
from holdfast.results.tables.claims.rulings import Ruling, ruling_on
from holdfast.results.tables.grid import (
    BANNER,
    Entry,
    Table,
    TableBlock,
)
from holdfast.results.tables.tidy import (
    ABSENT,
    csv_number,
    csv_p_value,
    csv_text,
)
from holdfast.settings.claims import (
    Claim,
    ClaimsTable,
    CostClaim,
    EqualClaim,
    GapClaim,
)
from holdfast.settings.labels import Labels
from holdfast.statistics import adjusted

COLUMNS = (
    "model", "claim", "text", "source", "kind", "metric", "estimate", "ci_low", "ci_high", "n",
    "unit", "p_value", "p_adjusted", "noise_floor", "verdict", "needs",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One claim about one model."""

    model: str
    name: str
    claim: Claim
    evidence: Evidence
    p_adjusted: float | None
    ruling: Ruling


def build(name: str, settings: ClaimsTable, inputs: Inputs, context: Context) -> Table:
    """Build the table: a row a claim, in the order of the catalogue, model by model.

    Raises HoldfastError naming the claim and what is missing.
    """
    labels = context.labels
    arms = Arms(inputs.summaries, settings.draws)
    files = [*inputs.gaps, *inputs.summaries, *inputs.costs]
    models = models_of(Summary, files, settings.models)
    rows = _judged(settings, models, arms, inputs, labels)
    blocks = [
        TableBlock(model, "", tuple(_row(row) for row in rows if row.model == model))
        for model in models
    ]
    untrained = any(summary.meaningless for summary in inputs.summaries)
    return Table(
        name=name,
        title=settings.title,
        caption=settings.caption,
        banner=BANNER if context.meaningless or untrained else "",
        headings=("Claim", "From", "Verdict", "Estimate", "p", "Noise floor", "To tell"),
        text_columns=3,
        blocks=tuple(blocks),
        notes=(*_notes(settings, rows, labels), *bos_notes(_of_perplexity(rows, arms))),
        csv=_csv(rows),
    )


def _judged(
    settings: ClaimsTable,
    models: Sequence[str],
    arms: Arms,
    inputs: Inputs,
    labels: Labels,
) -> list[Judged]:
    held: list[tuple[str, str, Claim, Evidence]] = []
    for model in models:
        for name, claim in settings.catalogue.items():
            try:
                if isinstance(claim, CostClaim):
                    evidence = of_cost(claim, inputs.costs, model)
                elif isinstance(claim, GapClaim):
                    evidence = of_gap(claim, inputs.gaps, model)
                else:
                    evidence = of_change(claim, arms, model, settings.controls, labels)
            except HoldfastError as error:
                raise HoldfastError(f"claim '{name}': {error}") from None
            held.append((model, name, claim, evidence))
    plain = [p for *_, claim, evidence in held if (p := _tested(claim, evidence)) is not None]
    together = iter(adjusted(plain, settings.adjust))
    rows = []
    for model, name, claim, evidence in held:
        p = None if _tested(claim, evidence) is None else next(together)
        rows.append(
            Judged(model, name, claim, evidence, p, ruling_on(claim, evidence, p, len(plain)))
        )
    return rows


def _tested(claim: Claim, evidence: Evidence) -> float | None:
    """Return the p-value that decides on a claim: of a direction or a gap."""
    return evidence.p_value if claim.kind in ("lower", "higher", "gap") else None


def _row(row: Judged) -> tuple[Entry, ...]:
    evidence = row.evidence
    ends = [_amount(row.claim, end) for end in (evidence.low, evidence.high) if end is not None]
    p, floor = row.p_adjusted, evidence.noise_floor
    return (
        Entry(row.claim.text),
        Entry(row.claim.source or "–"),
        Entry(row.ruling.word),
        Entry(_amount(row.claim, evidence.value), interval=" to ".join(ends)),
        Entry("–" if p is None else "<.0001" if p < 1e-4 else show(p)),
        Entry("–" if floor is None else f"±{show(floor)}"),
        Entry(row.ruling.needs or "–"),
    )


def _amount(claim: Claim, value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(claim, CostClaim):
        return f"{value:.2f}×"
    if _metric(claim) == "perplexity":
        return f"{100 * value:+.2f} %"
    return f"{value:+.4f}"


def _metric(claim: Claim) -> str:
    if isinstance(claim, CostClaim):
        return claim.measure
    return "robustness_gap" if isinstance(claim, GapClaim) else " ".join(claim.metrics)


def _csv(rows: Iterable[Judged]) -> str:
    """Return the CSV; a perplexity's estimate is a share of the reference's, a cost's a ratio."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        claim, evidence = row.claim, row.evidence
        texts = (row.model, row.name, claim.text, claim.source, claim.kind, _metric(claim))
        writer.writerow(
            [
                *map(csv_text, texts),
                *map(csv_number, (evidence.value, evidence.low, evidence.high)),
                evidence.n,
                evidence.unit,
                *map(csv_p_value, (evidence.p_value, row.p_adjusted)),
                csv_number(evidence.noise_floor),
                row.ruling.word,
                row.ruling.needs or ABSENT,
            ]
        )
    return out.getvalue()


def _notes(settings: ClaimsTable, rows: Sequence[Judged], labels: Labels) -> Iterable[str]:
    tests = sum(_tested(row.claim, row.evidence) is not None for row in rows)
    kinds = {row.claim.kind for row in rows}
    yield (
        "Estimate: the paired change from the claim's reference, averaged over its cells and"
        " judges, each alike; in small print its 95 % interval."
        " Verdicts follow from these numbers alone."
    )
    if kinds & {"lower", "higher", "gap"}:
        method = {"holm": "Holm", "bh": "Benjamini and Hochberg"}[settings.adjust]
        yield (
            f"Lower, or higher: supported where p < .05, adjusted ({method}) over the {tests} such"
            " claims shown, and the change goes that way; contradicted where it goes the other;"
            " else it cannot be told."
        )
    if any(row.evidence.same for row in rows):
        yield (
            "Same arm: the claim compares two arms that hold the same weights, so there is nothing"
            " to estimate or to test."
        )
    if "gap" in kinds:
        yield (
            "Robustness gap: E f(θ + ρv) − f(θ) in nats a response token, paired by noise draw, or"
            " by training seed where there are several; lower, by the same rule."
        )
    if "equal" in kinds:
        margins = dict.fromkeys(
            f"{' '.join(row.claim.metrics)} {_margin(row.claim)}"
            for row in rows
            if isinstance(row.claim, EqualClaim)
        )
        yield (
            f"Barely moves: supported where the whole interval is within a margin"
            f" ({', '.join(margins)}), contradicted where it is wholly outside."
        )
    if "cost" in kinds:
        limits = dict.fromkeys(
            f"{row.claim.text}: {row.claim.limit:g}"
            for row in rows
            if isinstance(row.claim, CostClaim)
        )
        yield (
            f"Cost: a ratio, held to a limit ({'; '.join(limits)}); with one training seed it has"
            " no interval, and timings change from run to run."
        )
    yield (
        "To tell: the units that would settle it with power .8 if the change seen is the true one"
        " (n, which adds no seeds), or what else is missing. Intervals and tests cover other"
        " training seeds where there are several; with one they are given that seed, and cover"
        " other noise draws, unless the claim's cells have unlike numbers of them."
    )
    if settings.controls and any(row.evidence.noise_floor is not None for row in rows):
        shown = dict.fromkeys(
            labels.arm(control)
            for claim in settings.changes.values()
            for control in controls_of(settings.controls, claim.reference.arm, labels.parents)
        )
        yield (
            "Noise floor: what one more meaningless change stays below with 95 % probability, from"
            f" {', '.join(shown)}; no direction is told inside it."
        )


def _of_perplexity(rows: Iterable[Judged], arms: Arms) -> Iterable[Pooled]:
    """Yield the arms whose perplexity is compared."""
    for row in rows:
        claim = row.claim
        if isinstance(claim, CostClaim | GapClaim) or row.evidence.same:
            continue
        if "perplexity" in claim.metrics:
            yield from (arms.find(row.model, arm) for arm in (claim.arm, claim.reference.arm))


def _margin(claim: EqualClaim) -> str:
    share = claim.metrics == ["perplexity"]
    return f"±{100 * claim.margin:g} %" if share else f"±{claim.margin:g}"
