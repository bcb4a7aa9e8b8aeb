"""What stages leave for others to read: completions, utility and the layers chosen."""

from __future__ import annotations

from typing import Literal

from holdfast.settings.base import Strict

PromptSet = Literal["behaviors", "benign"]
LARGE_BOS_SHARE = 0.1  # above it, perplexity without the token misleads


class Answered(Strict):
    """A completion; ``tokens`` leaves the stop token out, ``finished`` says it was reached."""

    completion: str
    tokens: int
    finished: bool


class CompletionRow(Answered):
    """A row of completions.jsonl: the answer to one prompt of a set, in one cell."""

    level: str
    draw: int
    set: PromptSet
    id: str


class Windows(Strict):
    """Mean NLL in nats and predicted tokens of each window of perplexity.

    ``bos_share``: the share of a window's NLL that a beginning-of-sequence token would take away;
    None where it was not measured, or every window has the token.
    """

    nll: list[float]
    tokens: list[int]
    bos_share: float | None = None


class ItemScores(Strict):
    """Scores of an lm-eval task, one an item, by one of its metrics."""

    metric: str
    scores: list[float]


class UtilityCell(Strict):
    """What is measured of one cell beside its completions; ``lm_eval`` by task."""

    level: str
    draw: int
    perplexity: Windows | None = None
    lm_eval: dict[str, ItemScores] | None = None


class UtilityFile(Strict):
    """utility.json of an arm under a perturbation; ``weights``: a digest of the arm's weights."""

    weights: str
    cells: list[UtilityCell]


class Sensitivity(Strict):
    """What perturbing a layer adds to the loss, in nats a token: by each draw, and by rounding."""

    noise: list[float]
    quant: float


class DrawnScores(Strict):
    """A chunk of scores that are drawn: the loss that they start from, and by layer."""

    loss: float
    layers: dict[str, Sensitivity]


LayerScores = dict[str, float]  # by layer, without a sampling error


class RankStability(Strict):
    """How alike the selections are that single draws would have made, over all pairs of draws.

    Mean Kendall tau-b of the ranks (None where a draw is all ties), and mean share of common layers
    among the top m.
    """

    kendall_tau: float | None
    top_m_overlap: float


class LayerSelection(Strict):
    """The layers chosen and the scores of all; lists over layers, by the score's name.

    ``standard_errors`` and ``rank_stability`` are there where a score is drawn more than once.
    """

    layers: int
    top: list[int]
    rank_stability: RankStability | None
    scores: dict[str, list[float]]
    standard_errors: dict[str, list[float]]


class SelectionFile(LayerSelection):
    """selection.json: the layers that ``selection`` chose on an arm."""

    model: str
    arm: str
    selection: str
    seed: int
