"""The arms of a run, each with its seeds pooled, found by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from holdfast.errors import HoldfastError
from holdfast.results.measured.files import Summary, missing, models_of
from holdfast.results.measured.pooling import Draws, Pooled, pool


class Arms:
    """Pooled summaries by model and arm, in the order first given.

    ``draws``: whether noise draws are a sample of the noise, or given (see ``pool``).
    """

    def __init__(self, summaries: Sequence[Summary], draws: Draws = "random") -> None:
        self._summaries = summaries
        seeds: dict[tuple[str, str], list[Summary]] = {}
        for summary in summaries:
            seeds.setdefault((summary.model, summary.arm), []).append(summary)
        self._pooled = {key: pool(group, draws) for key, group in seeds.items()}

    def models(self, wanted: Literal["all"] | Sequence[str]) -> list[str]:
        """Return the models shown: those wanted, or all there are."""
        return models_of(Summary, self._summaries, wanted)

    def find(self, model: str, arm: str) -> Pooled:
        """Return an arm's pooled summary; raise HoldfastError naming the one that is missing."""
        pooled = self._pooled.get((model, arm))
        if pooled is None:
            raise missing(Summary, model, arm, list(self._pooled))
        return pooled


def require_same_behaviors(summary: Pooled, reference: Pooled) -> None:
    """Raise HoldfastError when two summaries cannot be paired."""
    if summary.behaviors_sha256 != reference.behaviors_sha256:
        raise HoldfastError(
            f"{summary.model}/{summary.arm} and its reference "
            f"{reference.model}/{reference.arm} were tested on different behaviors: "
            "evaluate both again on the same ones"
        )
    if summary.seeds != reference.seeds:
        raise HoldfastError(
            f"{summary.model}/{summary.arm} has the training seeds {list(summary.seeds)}, and "
            f"its reference {reference.model}/{reference.arm} {list(reference.seeds)}: make "
            "both with the same"
        )
