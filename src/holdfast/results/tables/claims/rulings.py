"""From evidence to a ruling: supported, contradicted, cannot tell, or that two arms are one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from holdfast.results.measured.metrics import show
from holdfast.results.measured.same_arms import SAME_ARM
from holdfast.results.tables.claims.evidence import Evidence
from holdfast.settings.claims import Claim, CostClaim, EqualClaim
from holdfast.statistics import minimum_detectable, needed_n
from holdfast.statistics.power import ALPHA, POWER

SUPPORTED, CONTRADICTED, CANNOT_TELL = "supported", "contradicted", "cannot tell"
MORE = "more seeds or draws"


@dataclass(frozen=True)
class Ruling:
    """A word, and for ``cannot tell`` why, or what would be needed; for ``same arm`` which."""

    word: str
    needs: str = ""


def ruling_on(claim: Claim, evidence: Evidence, p_adjusted: float | None, tests: int) -> Ruling:
    """Return what the data say of a claim.

    ``p_adjusted``: of a claim of a direction or a gap, adjusted over the ``tests`` of all of them.
    """
    if evidence.same:
        return Ruling(SAME_ARM, f"{' and '.join(evidence.same)} hold the same weights")
    if evidence.doubt or evidence.value is None:
        return Ruling(CANNOT_TELL, evidence.doubt)
    if isinstance(claim, CostClaim):
        return _at_most(claim.limit, evidence)
    if isinstance(claim, EqualClaim):
        return _within(claim.margin, evidence)
    if p_adjusted is None:
        return Ruling(CANNOT_TELL, f"more than {evidence.n} {evidence.unit}")
    if p_adjusted >= ALPHA:
        return Ruling(CANNOT_TELL, _needed(evidence, ALPHA / tests))
    if evidence.noise_floor is not None and abs(evidence.value) <= evidence.noise_floor:
        return Ruling(CANNOT_TELL, "inside the noise floor")
    return Ruling(SUPPORTED if (evidence.value < 0) == (claim.kind != "higher") else CONTRADICTED)


def _at_most(limit: float, evidence: Evidence) -> Ruling:
    assert evidence.value is not None
    low = evidence.value if evidence.low is None else evidence.low
    high = evidence.value if evidence.high is None else evidence.high
    if high <= limit:
        return Ruling(SUPPORTED)
    return Ruling(CONTRADICTED) if low > limit else Ruling(CANNOT_TELL, "more seeds")


def _within(margin: float, evidence: Evidence) -> Ruling:
    if evidence.value is None or evidence.low is None or evidence.high is None:
        return Ruling(CANNOT_TELL, f"more than {evidence.n} {evidence.unit}")
    if -margin <= evidence.low and evidence.high <= margin:
        return Ruling(SUPPORTED)
    if evidence.low > margin or evidence.high < -margin:
        return Ruling(CONTRADICTED)
    return Ruling(CANNOT_TELL, _narrower(evidence, margin - abs(evidence.value), ALPHA))


def _needed(evidence: Evidence, alpha: float) -> str:
    """Say how many units would find the change seen at level ``alpha`` with power .8."""
    assert evidence.value is not None
    if evidence.spread is None:
        return _narrower(evidence, abs(evidence.value), alpha)
    if evidence.value == 0:
        least = minimum_detectable(evidence.spread, alpha)
        return MORE if least is None else f"no change seen; n would find {show(least, 3)}"
    units = needed_n(evidence.value, evidence.spread, alpha)
    return MORE if units is None or units <= evidence.n else f"n ≥ {units:,} {evidence.unit}"


def _narrower(evidence: Evidence, room: float, alpha: float) -> str:
    """Say how many units would make the interval fit into ``room`` with power .8.

    Its width shrinks as one over the square root of their number.
    """
    from scipy.stats import norm

    assert evidence.low is not None
    assert evidence.high is not None
    if room == 0:
        return MORE
    level, usual = (float(norm.isf(one / 2)) for one in (alpha, ALPHA))
    error = (evidence.high - evidence.low) / (2 * usual)
    units = math.ceil(evidence.n * ((level + float(norm.ppf(POWER))) * error / room) ** 2)
    return MORE if units <= evidence.n else f"n ≥ {units:,} {evidence.unit}"
