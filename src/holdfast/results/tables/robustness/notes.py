"""The footnotes a robustness table owes its reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from holdfast.results.measured import cells
from holdfast.results.measured.beginnings import bos_notes
from holdfast.results.measured.controls import controls_of
from holdfast.results.measured.metrics import UNPARSED, Metric, show
from holdfast.results.measured.pooling import Cell
from holdfast.results.measured.same_arms import UNTESTED, same_arm_notes
from holdfast.results.tables.grid import FLOOR_MARK
from holdfast.results.tables.robustness.measure import Part, Row, arms_of, tests_of
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.labels import Labels
from holdfast.settings.tables import RobustnessTable
from holdfast.statistics import Spread, minimum_detectable
from holdfast.statistics.power import ALPHA


def footnotes(settings: RobustnessTable, parts: Sequence[Part], labels: Labels) -> tuple[str, ...]:
    """Return the notes under a table, in reading order."""
    shown = {metric.name for metric in parts[0].metrics}
    notes = [*_references(parts, labels), *_same(settings, parts, labels)]
    if "perplexity" in shown:
        notes += bos_notes(arms_of(parts))
    notes += [*_tests(settings, parts), _sizes(settings, parts)]
    notes += [*_detectable(settings, parts), *_floor(settings, parts, labels)]
    if settings.best_among_sections:
        notes.append(
            "Bold (†): the lowest ASR among the sections, cell by cell; ties are all bold."
        )
    notes += _setups(parts, labels)
    notes += _points(parts, labels)
    notes += _oddities(parts, labels)
    notes += [
        f"{extra.replace('_', '-').capitalize()} was not measured for every arm shown."
        for extra in settings.extra_metrics
        if extra not in shown
    ]
    return tuple(notes)


def _references(parts: Sequence[Part], labels: Labels) -> list[str]:
    against = []
    for part in parts:
        reference = part.section.reference
        if reference is None or _all_same(part):
            continue
        what = f"{labels.arm(part.section.arm)} against {labels.arm(reference.arm)}"
        against.append(
            f"{what}, unperturbed"
            if reference.perturbation == "none"
            else f"{what} under the same perturbation and level"
        )
    if not against:
        return []
    return [
        f"Arrows show the raw change: {'; '.join(dict.fromkeys(against))} (↑ up, ↓ down, → none "
        "at the printed precision). Each heading's arrow is the better direction."
    ]


def _all_same(part: Part) -> bool:
    """Return whether a section's arm is its reference by another name, in every cell."""
    return bool(part.rows) and all(record.same for record in _records([part]))


def _same(settings: RobustnessTable, parts: Sequence[Part], labels: Labels) -> list[str]:
    """Say which of the arms shown, references and controls are one, and what follows."""
    notes = same_arm_notes(arms_of(parts), labels)
    if any(record.same for record in _records(parts)):
        notes.append(UNTESTED)
    shown = sum(record.p_adjusted is not None for record in _records(parts))
    if shown > len(tests_of(parts, settings)):
        notes.append("A comparison that is shown for several names of one arm is one test.")
    return notes


ADJUSTMENTS = {"holm": "Holm", "bh": "Benjamini and Hochberg"}
FAMILIES = {
    "table": "the {} comparisons of this table",
    "section": "each section's comparisons ({} in all)",
    "metric": "each metric's comparisons ({} in all)",
}


def _tests(settings: RobustnessTable, parts: Sequence[Part]) -> list[str]:
    tests = len(tests_of(parts, settings))
    if not tests:
        return []
    family = FAMILIES[settings.family].format(tests)
    with_repeats = _sampled(settings, parts)
    student = (
        f" Where {' and '.join(with_repeats)} are sampled too, Student's t with their variance."
        if with_repeats
        else ""
    )
    return [
        "* p < .05, ** p < .01, *** p < .001, paired, two-sided, adjusted by "
        f"{ADJUSTMENTS[settings.adjust]} over {family}. Rates: exact sign-flip test over behaviors "
        "or prompts (with one draw, McNemar's exact test); perplexity: paired t over windows; "
        f"lm-eval: paired normal test over items.{student} The CSV has the unadjusted p too."
    ]


def _sampled(settings: RobustnessTable, parts: Sequence[Part]) -> list[str]:
    """Return what intervals and tests are over besides units."""
    if max(len(part.summary.seeds) for part in parts) > 1:
        return ["training seeds"]
    several = any(row.cell.draws > 1 for part in parts for row in part.rows)
    return ["noise draws"] if several and settings.draws == "random" else []


def _sizes(settings: RobustnessTable, parts: Sequence[Part]) -> str:
    sizes: dict[str, set[int]] = {}
    draws: set[int] = set()
    for metric, row in _measured(parts):
        record = next(record for record in row.records if record.metric == metric.name)
        sizes.setdefault(metric.unit, set()).add(record.estimate.units)
        draws.add(row.cell.draws)
    units = ", ".join(
        f"{' or '.join(f'{size:,}' for size in sorted(found))} {unit}"
        for unit, found in sizes.items()
    )
    looks = _span(draws, "draw")
    seeds = _span({len(part.summary.seeds) for part in parts}, "training seed")
    return f"n: {units}; {looks} a cell, from {seeds}. {_covers(_sampled(settings, parts))}"


def _covers(sampled: Sequence[str]) -> str:
    if sampled == ["training seeds"]:
        return (
            "The 95 % intervals are over these units and training seeds, each with its own noise "
            "draws: they do not cover a judge's own errors."
        )
    if sampled:
        return (
            "The 95 % intervals are over these units and, where a cell has several, noise draws, "
            "given one training seed: they do not cover other training or a judge's own errors."
        )
    return (
        "The 95 % intervals are over these units, given these draws and one training seed: they "
        "do not cover other noise, other training or a judge's own errors."
    )


def _detectable(settings: RobustnessTable, parts: Sequence[Part]) -> list[str]:
    """Say which change of a rate the comparisons could have found, as a median over them."""
    units = {metric.name: metric.unit for part in parts for metric in part.metrics}
    tests = tests_of(parts, settings)
    found: dict[str, list[Spread]] = {}
    for test, change in tests.items():
        if change.spread:
            found.setdefault(units[test[-1]], []).append(change.spread)
    if not found:
        return []
    largest = max(Counter(test[0] for test in tests).values())
    texts = [
        f"{_at_median(spreads, ALPHA)} over {unit} ({_at_median(spreads, ALPHA / largest)})"
        for unit, spreads in found.items()
    ]
    return [
        "Minimum detectable difference of a rate, with power .8 at an unadjusted p < .05, for the "
        f"median comparison: {', '.join(texts)}. In parentheses: at p < .05/{largest}, which one "
        "difference alone must reach after adjustment."
    ]


def _at_median(spreads: Sequence[Spread], alpha: float) -> str:
    middle = sorted(spreads, key=lambda spread: spread.half)[len(spreads) // 2]
    found = minimum_detectable(middle, alpha)
    return "none" if found is None else show(found, 3)


def _floor(settings: RobustnessTable, parts: Sequence[Part], labels: Labels) -> list[str]:
    if all(record.noise_floor is None for record in _records(parts)):
        return []
    names = []
    for part in parts:
        if reference := part.section.reference:
            names += controls_of(settings.controls, reference.arm, labels.parents)
    arms = ", ".join(map(labels.arm, dict.fromkeys(names)))
    return [
        f"Noise floor (± in small print): how far moves that mean nothing change a rate from the "
        f"same reference; 95 % of such changes are smaller, judged by {arms} and each training "
        f"seed. Changes inside it are grey and marked {FLOOR_MARK}."
    ]


def _records(parts: Sequence[Part]) -> Iterable[Measurement]:
    return (record for part in parts for row in part.rows for record in row.records)


def _setups(parts: Sequence[Part], labels: Labels) -> list[str]:
    names = dict.fromkeys(row.perturbation for part in parts for row in part.rows)
    pairs = [(labels.perturbation(name), name) for name in names]
    return list(
        dict.fromkeys(
            f"{label.label} ({name}): {label.note}" for label, name in pairs if label.note
        )
    )


def _points(parts: Sequence[Part], labels: Labels) -> list[str]:
    """Say which values the arms shown were made with, where a sweep could choose others."""
    arms = dict.fromkeys(part.section.arm for part in parts)
    return [f"{labels.arm(arm)}: {labels.points[arm]}." for arm in arms if arm in labels.points]


def _oddities(parts: Sequence[Part], labels: Labels) -> list[str]:
    """Count unparsed verdicts and degenerate completions, where there are any."""
    notes = []
    judges = {metric.name: metric for metric, _ in _measured(parts) if metric.kind == "asr"}
    for metric in judges.values():
        notes += _count(
            parts, labels, f"{UNPARSED}{metric.name}",
            f"Unparsed {metric.label} verdicts, counted as no attack success",
        )  # fmt: skip
    if all("degenerate" in cell.outcomes for cell in _cells(parts)):
        notes += _count(
            parts, labels, "degenerate",
            "Degenerate completions (repetition or gibberish; judges may call them anything)",
        )  # fmt: skip
    return notes


def _count(parts: Sequence[Part], labels: Labels, name: str, what: str) -> list[str]:
    found: dict[tuple[str, str, str, str], tuple[int, int]] = {}
    for part in parts:
        for row in part.rows:
            hits, draws = cells.counts(row.cell, name)
            key = (part.model, part.section.arm, row.perturbation, row.level)
            found[key] = int(hits.sum()), len(hits) * draws
    total = sum(hits for hits, _ in found.values())
    if not total:
        return []
    worst = max(found, key=lambda key: found[key][0] / found[key][1])
    model, arm, perturbation, level = worst
    place = " ".join(
        (
            model,
            labels.arm(arm),
            labels.perturbation(perturbation).label,
            labels.level(perturbation, level) if level else "",
        )
    ).strip()
    most, of = found[worst]
    everything = sum(size for _, size in found.values())
    return [f"{what}: {total:,} of {everything:,}; most in {place}, {most:,} of {of:,}."]


def _measured(parts: Sequence[Part]) -> Iterable[tuple[Metric, Row]]:
    return ((metric, row) for part in parts for row in part.rows for metric in part.metrics)


def _cells(parts: Sequence[Part]) -> Iterable[Cell]:
    return (row.cell for part in parts for row in part.rows)


def _span(numbers: set[int], noun: str) -> str:
    low, high = min(numbers), max(numbers)
    text = str(low) if low == high else f"{low} to {high}"
    return f"{text} {noun}{'' if high == 1 else 's'}"
