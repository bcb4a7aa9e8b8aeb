"""Where perplexity misleads: for models that need a beginning-of-sequence token in every window."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.data.outputs import LARGE_BOS_SHARE
from holdfast.results.measured.files import SummaryCell
from holdfast.results.measured.pooling import Pooled


def bos_share(arm: Pooled) -> float:
    """Return the largest share of a window's NLL that the token would take away from an arm.

    Of its unperturbed cells, where it was measured of one, since it is the model's need that it
    tells; else of all. 0.0 where it was not measured.
    """
    unperturbed = (cell for cell in arm.cells if cell.perturbation == "none")
    return max(_shares(unperturbed) or _shares(arm.cells), default=0.0)


def bos_notes(shown: Iterable[Pooled]) -> list[str]:
    """Return a sentence for each model whose perplexity misleads, by the arms shown."""
    shares: dict[str, float] = {}
    for arm in shown:
        shares[arm.model] = max(shares.get(arm.model, 0.0), bos_share(arm))
    return [
        f"Perplexity misleads for {model}: a beginning-of-sequence token before a window would"
        f" lower its NLL by {100 * share:.0f} %; set utility.perplexity.bos to true."
        for model, share in shares.items()
        if share > LARGE_BOS_SHARE
    ]


def _shares(cells: Iterable[SummaryCell]) -> list[float]:
    windows = (draw for cell in cells for draw in cell.perplexity or ())
    return [draw.bos_share for draw in windows if draw.bos_share is not None]
