"""p-values of a family of comparisons, adjusted together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

Method = Literal["holm", "bh"]
NAMES = {"holm": "holm", "bh": "fdr_bh"}


def adjusted(p_values: Sequence[float], method: Method = "holm") -> list[float]:
    """Return adjusted p-values, in the order given.

    ``holm`` (1979) bounds the chance of any false finding in the family; ``bh`` (Benjamini and
    Hochberg 1995) the expected share of false ones among the findings.
    """
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, method=NAMES[method])[1]]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given."""
    return adjusted(p_values, "holm")


def adjusted_by_family(
    p_values: Sequence[float], families: Sequence[Hashable], method: Method
) -> list[float]:
    """Return p-values adjusted within each family, in the order given."""
    values = list(p_values)
    for family in dict.fromkeys(families):
        places = [place for place, other in enumerate(families) if other == family]
        together = adjusted([p_values[place] for place in places], method)
        for place, p in zip(places, together, strict=True):
            values[place] = p
    return values
