"""The arms of a run, each with its seeds pooled, found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from holdfast.errors import HoldfastError, nearest
from holdfast.statistics import pool
from holdfast.statistics.pooling import Draws

Summary = Mapping[str, Any]


class Arms:
    """Pooled summaries by model and arm, in the order first given.

    ``draws``: whether noise draws are a sample of the noise, or given (see ``pool``).
    """

    def __init__(self, summaries: Sequence[Summary], draws: Draws = "random") -> None:
        seeds: dict[tuple[str, str], list[Summary]] = {}
        for summary in summaries:
            seeds.setdefault((summary["model"], summary["arm"]), []).append(summary)
        self._pooled = {key: pool(group, draws) for key, group in seeds.items()}

    def models(self, wanted: Literal["all"] | Sequence[str]) -> list[str]:
        """Return the models shown: those wanted, or all there are."""
        present = list(dict.fromkeys(model for model, _ in self._pooled))
        if not present:
            raise HoldfastError("there is no summary to show: run the evaluation first")
        return present if wanted == "all" else list(wanted)

    def find(self, model: str, arm: str) -> dict[str, Any]:
        """Return an arm's pooled summary; raise HoldfastError naming the one that is missing."""
        found = self._pooled.get((model, arm))
        if found is None:
            has = [f"{one}/{other}" for one, other in self._pooled]
            raise HoldfastError(
                f"the summary of model '{model}', arm '{arm}' is missing: there is "
                f"{', '.join(has) or 'none'}{nearest(f'{model}/{arm}', has)}"
            )
        return found


def require_same_behaviors(summary: Summary, reference: Summary) -> None:
    """Raise HoldfastError when two summaries cannot be paired."""
    if summary["behaviors_sha256"] != reference["behaviors_sha256"]:
        raise HoldfastError(
            f"{summary['model']}/{summary['arm']} and its reference "
            f"{reference['model']}/{reference['arm']} were tested on different behaviors: "
            "evaluate both again on the same ones"
        )
    if summary["seeds"] != reference["seeds"]:
        raise HoldfastError(
            f"{summary['model']}/{summary['arm']} has the training seeds {summary['seeds']}, and "
            f"its reference {reference['model']}/{reference['arm']} {reference['seeds']}: make "
            "both with the same"
        )
