"""From evidence to a verdict: supported, contradicted, or cannot tell and what would be needed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from holdfast.results.measured.metrics import show
from holdfast.results.tables.claims.evidence import Evidence
from holdfast.settings.claims import Claim, CostClaim, EqualClaim
from holdfast.statistics import minimum_detectable, needed_n
from holdfast.statistics.power import ALPHA, POWER

SUPPORTED, CONTRADICTED, CANNOT_TELL = "supported", "contradicted", "cannot tell"
MORE = "more seeds or draws"


@dataclass(frozen=True)
class Verdict:
    """A word, and for ``cannot tell`` why, or what would be needed to tell."""

    word: str
    needs: str = ""


def verdict(claim: Claim, found: Evidence, p_adjusted: float | None, tests: int) -> Verdict:
    """Return what the data say of a claim.

    ``p_adjusted``: of a claim of a direction or a gap, adjusted over the ``tests`` of all of them.
    """
    if found.doubt or found.value is None:
        return Verdict(CANNOT_TELL, found.doubt)
    if isinstance(claim, CostClaim):
        return _at_most(claim.limit, found)
    if isinstance(claim, EqualClaim):
        return _within(claim.margin, found)
    if p_adjusted is None:
        return Verdict(CANNOT_TELL, f"more than {found.n} {found.unit}")
    if p_adjusted >= ALPHA:
        return Verdict(CANNOT_TELL, _needed(found, ALPHA / tests))
    if found.noise_floor is not None and abs(found.value) <= found.noise_floor:
        return Verdict(CANNOT_TELL, "inside the noise floor")
    return Verdict(SUPPORTED if (found.value < 0) == (claim.kind != "higher") else CONTRADICTED)


def _at_most(limit: float, found: Evidence) -> Verdict:
    assert found.value is not None
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    if high <= limit:
        return Verdict(SUPPORTED)
    return Verdict(CONTRADICTED) if low > limit else Verdict(CANNOT_TELL, "more seeds")


def _within(margin: float, found: Evidence) -> Verdict:
    if found.value is None or found.low is None or found.high is None:
        return Verdict(CANNOT_TELL, f"more than {found.n} {found.unit}")
    if -margin <= found.low and found.high <= margin:
        return Verdict(SUPPORTED)
    if found.low > margin or found.high < -margin:
        return Verdict(CONTRADICTED)
    return Verdict(CANNOT_TELL, _narrower(found, margin - abs(found.value), ALPHA))


def _needed(found: Evidence, alpha: float) -> str:
    """Say how many units would find the change seen at level ``alpha`` with power .8."""
    assert found.value is not None
    if found.spread is None:
        return _narrower(found, abs(found.value), alpha)
    if found.value == 0:
        least = minimum_detectable(found.spread, alpha)
        return MORE if least is None else f"no change seen; n would find {show(least, 3)}"
    units = needed_n(found.value, found.spread, alpha)
    return MORE if units is None or units <= found.n else f"n ≥ {units:,} {found.unit}"


def _narrower(found: Evidence, room: float, alpha: float) -> str:
    """Say how many units would make the interval fit into ``room`` with power .8.

    Its width shrinks as one over the square root of their number.
    """
    from scipy.stats import norm

    assert found.low is not None
    assert found.high is not None
    if room == 0:
        return MORE
    level, usual = (float(norm.isf(one / 2)) for one in (alpha, ALPHA))
    error = (found.high - found.low) / (2 * usual)
    units = math.ceil(found.n * ((level + float(norm.ppf(POWER))) * error / room) ** 2)
    return MORE if units <= found.n else f"n ≥ {units:,} {found.unit}"
