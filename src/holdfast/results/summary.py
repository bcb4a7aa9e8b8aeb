"""Build the summary of one arm and seed: a few kilobytes that tables and figures are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.data.outputs import CompletionRow, PromptSet, UtilityFile, Windows
from holdfast.errors import HoldfastError
from holdfast.judges.verdict import VerdictRow
from holdfast.results.measured.files import (
    Better,
    Kind,
    MeasuredMetric,
    Summary,
    SummaryCell,
    TaskScores,
)
from holdfast.results.measured.metrics import UNPARSED

Place = tuple[str, int, str]  # level, draw, prompt id
SYMBOLS = {"yes": "1", "no": "0", "unparsed": "?"}


@dataclass(frozen=True)
class Outputs:
    """What was measured under one perturbation.

    ``utility`` is None where it was not measured. ``noise_seeds``: the seed of each draw, by level;
    empty where nothing is drawn.
    """

    completions: Sequence[CompletionRow]
    utility: UtilityFile | None = None
    noise_seeds: Mapping[str, Sequence[int]] = field(default_factory=dict)


def summarize(
    *,
    model: str,
    arm: str,
    seed: int,
    weights: str,
    behaviors: Sequence[str],
    behaviors_sha256: str,
    benign: Sequence[str],
    outputs: Mapping[str, Outputs],
    verdicts: Mapping[str, Sequence[VerdictRow]],
    judge_labels: Mapping[str, str],
    is_degenerate: Callable[[str], bool],
    refuses: Callable[[str], bool],
    meaningless: bool,
    versions: Mapping[str, str],
    dtype: str,
) -> Summary:
    """Return the content of summary.json.

    ``weights``: a digest that arms with the same weights share. ``behaviors``, ``benign``: ids in
    order, which is the order of every outcome string.
    ``outputs``: by perturbation, in the order tables show. ``verdicts``: rows by judge.
    Raises HoldfastError naming the first completion, verdict or utility cell that is missing,
    repeated or unknown.
    """
    judged = {judge: _verdicts(judge, rows) for judge, rows in verdicts.items()}
    cells = [
        cell
        for perturbation, measured in outputs.items()
        for cell in _cells(
            perturbation, measured, behaviors, benign, judged, is_degenerate, refuses
        )
    ]
    return Summary(
        release=2,
        model=model,
        arm=arm,
        seed=seed,
        weights=weights,
        behaviors=len(behaviors),
        behaviors_sha256=behaviors_sha256,
        meaningless=meaningless,
        versions=dict(versions),
        dtype=dtype,
        metrics=_metrics(cells, judge_labels),
        cells=cells,
    )


def _metrics(
    cells: Sequence[SummaryCell], judge_labels: Mapping[str, str]
) -> dict[str, MeasuredMetric]:
    def entry(kind: Kind, better: Better, label: str) -> MeasuredMetric:
        return MeasuredMetric(kind=kind, better=better, label=label)

    metrics = {judge: entry("asr", "lower", label) for judge, label in judge_labels.items()}
    if all(cell.perplexity for cell in cells):
        metrics["perplexity"] = entry("perplexity", "lower", "PPL")
    if all(cell.lm_eval for cell in cells):
        metrics["lm_eval"] = entry("accuracy", "higher", "lm-eval")
    if all("over_refusal" in cell.outcomes for cell in cells):
        metrics["over_refusal"] = entry("rate", "lower", "Over-refusal")
    metrics["degenerate"] = entry("rate", "lower", "Degenerate")
    for judge, label in judge_labels.items():
        metrics[f"{UNPARSED}{judge}"] = entry("rate", "lower", f"Unparsed {label}")
    return metrics


def _cells(
    perturbation: str,
    measured: Outputs,
    behaviors: Sequence[str],
    benign: Sequence[str],
    judged: Mapping[str, Mapping[tuple[str, Place], str]],
    is_degenerate: Callable[[str], bool],
    refuses: Callable[[str], bool],
) -> list[SummaryCell]:
    harmful = _texts(perturbation, measured.completions, "behaviors", behaviors)
    harmless = _texts(perturbation, measured.completions, "benign", benign)
    draws: dict[str, set[int]] = {}
    for level, draw, _ in harmful:
        draws.setdefault(level, set()).add(draw)
    cells = []
    for level, present in draws.items():
        order = sorted(present)
        where = f"{perturbation} {level}".strip()
        degenerate = _strings(harmful, level, order, behaviors, is_degenerate, where)
        outcomes = {"degenerate": degenerate}
        if benign:
            outcomes["over_refusal"] = _strings(harmless, level, order, benign, refuses, where)
        for judge, symbol_of in judged.items():
            outcomes[judge] = _judged(judge, symbol_of, perturbation, level, order, behaviors)
        seeds = [int(seed) for seed in measured.noise_seeds.get(level, ())]
        perplexity, lm_eval = _utility(measured.utility, level, order, where)
        cells.append(
            SummaryCell(
                perturbation=perturbation,
                level=level,
                draws=len(order),
                noise_seeds=seeds,
                outcomes=outcomes,
                perplexity=perplexity,
                lm_eval=lm_eval,
            )
        )
    if not cells:
        raise HoldfastError(f"no completions under '{perturbation}': generate them again")
    return cells


def _texts(
    perturbation: str, rows: Iterable[CompletionRow], kind: PromptSet, known: Sequence[str]
) -> dict[Place, str]:
    names, texts = set(known), {}
    for row in rows:
        if row.set != kind:
            continue
        place = (row.level, row.draw, row.id)
        if place in texts or row.id not in names:
            problem = "repeats" if place in texts else "has the unknown"
            raise HoldfastError(
                f"completions under '{perturbation}', level '{row.level}', draw {row.draw}: "
                f"the file {problem} id '{row.id}'; delete it and run again"
            )
        texts[place] = row.completion
    return texts


def _strings(
    texts: Mapping[Place, str],
    level: str,
    draws: Sequence[int],
    ids: Sequence[str],
    flag: Callable[[str], bool],
    where: str,
) -> list[str]:
    strings = []
    for draw in draws:
        missing = next((name for name in ids if (level, draw, name) not in texts), None)
        if missing is not None:
            raise HoldfastError(
                f"no completion under '{where}', draw {draw}, for '{missing}': generate again"
            )
        strings.append("".join("01"[flag(texts[level, draw, name])] for name in ids))
    return strings


def _verdicts(judge: str, rows: Iterable[VerdictRow]) -> dict[tuple[str, Place], str]:
    symbol_of: dict[tuple[str, Place], str] = {}
    for row in rows:
        key = (row.perturbation, (row.level, row.draw, row.id))
        if key in symbol_of:
            raise HoldfastError(
                f"verdict of judge '{judge}' for '{row.id}' under {row.perturbation} "
                f"{row.level} is repeated: delete the verdicts and judge again"
            )
        symbol_of[key] = SYMBOLS[row.verdict]
    return symbol_of


def _judged(
    judge: str,
    symbol_of: Mapping[tuple[str, Place], str],
    perturbation: str,
    level: str,
    draws: Sequence[int],
    behaviors: Sequence[str],
) -> list[str]:
    strings = []
    for draw in draws:
        symbols = [symbol_of.get((perturbation, (level, draw, name))) for name in behaviors]
        if None in symbols:
            raise HoldfastError(
                f"judge '{judge}' has no verdict for '{behaviors[symbols.index(None)]}' under "
                f"{perturbation} {level}, draw {draw}: judge again"
            )
        strings.append("".join(symbol for symbol in symbols if symbol))
    return strings


def _utility(
    utility: UtilityFile | None, level: str, draws: Sequence[int], where: str
) -> tuple[list[Windows] | None, dict[str, TaskScores] | None]:
    """Return the perplexity and lm-eval scores of one cell, one value a draw."""
    if utility is None:
        return None, None
    by_draw = {cell.draw: cell for cell in utility.cells if cell.level == level}
    if set(by_draw) != set(draws):
        raise HoldfastError(
            f"utility.json under '{where}' has draws {sorted(by_draw)}, the completions "
            f"{list(draws)}: measure utility again"
        )
    cells = [by_draw[draw] for draw in draws]
    windows = [cell.perplexity for cell in cells if cell.perplexity]
    perplexity = windows if len(windows) == len(cells) else None
    accuracy = [cell.lm_eval for cell in cells if cell.lm_eval]
    if len(accuracy) < len(cells):
        return perplexity, None
    lm_eval = {
        task: TaskScores(
            metric=first.metric, scores=[_packed(tasks[task].scores) for tasks in accuracy]
        )
        for task, first in accuracy[0].items()
    }
    return perplexity, lm_eval


def _packed(scores: Sequence[float]) -> str | list[float]:
    """Return 0/1 scores as a string, a sixth of the size; other scores as they are."""
    if all(score in (0, 1) for score in scores):
        return "".join("01"[int(score)] for score in scores)
    return list(scores)
