"""One arm's training seeds as one, whose draws are grouped into repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from holdfast.errors import HoldfastError
from holdfast.results.measured.files import (
    MeasuredMetric,
    Summary,
    SummaryCell,
    TaskScores,
)

Draws = Literal["random", "fixed"]


class Cell(SummaryCell):
    """A cell with every seed's draws in a row.

    ``repeats``: into how many equal groups statistics part the draws, as a level of their own.
    """

    repeats: int


@dataclass(frozen=True)
class Pooled:
    """What was measured of one arm, its training seeds pooled.

    ``weights``: a digest a seed, which arms with the same weights share.
    """

    model: str
    arm: str
    seeds: tuple[int, ...]
    weights: tuple[str, ...]
    behaviors: int
    behaviors_sha256: str
    meaningless: bool
    metrics: Mapping[str, MeasuredMetric]
    cells: tuple[Cell, ...]


def pool(summaries: Sequence[Summary], draws: Draws = "random") -> Pooled:
    """Merge the summaries of one arm's seeds.

    The repeats of a cell are the training seeds (whose noise draws are their own); with one seed
    the draws, where they are ``random``; and otherwise one, so that everything is given the draws.

    Raises HoldfastError when the summaries differ in behaviors, metrics, cells or draws.
    """
    first = summaries[0]
    cells = {(cell.perturbation, cell.level): cell for cell in first.cells}
    draws_of = {key: cell.draws for key, cell in cells.items()}
    for other in summaries[1:]:
        theirs = {(cell.perturbation, cell.level): cell for cell in other.cells}
        for field, same in (
            ("behaviors", first.behaviors_sha256 == other.behaviors_sha256),
            ("metrics", first.metrics == other.metrics),
            ("perturbations and levels", set(cells) == set(theirs)),
            ("numbers of draws", draws_of == {key: cell.draws for key, cell in theirs.items()}),
        ):
            if not same:
                raise HoldfastError(
                    f"{first.model}/{first.arm}: seeds {first.seed} and {other.seed} "
                    f"were tested on different {field}: delete the older and run again"
                )
        cells = {key: _join(cell, theirs[key]) for key, cell in cells.items()}
    seeds = len(summaries)
    single = seeds == 1 and draws == "random"
    return Pooled(
        first.model,
        first.arm,
        tuple(summary.seed for summary in summaries),
        tuple(summary.weights for summary in summaries),
        first.behaviors,
        first.behaviors_sha256,
        any(summary.meaningless for summary in summaries),
        first.metrics,
        tuple(
            Cell(**dict(cell), repeats=cell.draws if single else seeds) for cell in cells.values()
        ),
    )


def _join(cell: SummaryCell, other: SummaryCell) -> SummaryCell:
    outcomes = {name: [*draws, *other.outcomes[name]] for name, draws in cell.outcomes.items()}
    perplexity, lm_eval = None, None
    if cell.perplexity and other.perplexity:
        perplexity = [*cell.perplexity, *other.perplexity]
    if cell.lm_eval and other.lm_eval:
        lm_eval = {
            task: TaskScores(metric=mine.metric, scores=[*mine.scores, *other.lm_eval[task].scores])
            for task, mine in cell.lm_eval.items()
        }
    return SummaryCell(
        perturbation=cell.perturbation,
        level=cell.level,
        draws=cell.draws + other.draws,
        noise_seeds=[*cell.noise_seeds, *other.noise_seeds],
        outcomes=outcomes,
        perplexity=perplexity,
        lm_eval=lm_eval,
    )
