"""How well two ways to compute the same thing agree, in words."""

from __future__ import annotations

from collections.abc import Sequence

LIMIT = 1e-5  # relative, in float32; 16-bit weights round differently in each way


def losses(ours: Sequence[float], plain: Sequence[float]) -> str:
    """Return the largest relative difference of two lists of losses."""
    difference = max(abs(a - b) / abs(b) for a, b in zip(ours, plain, strict=True))
    spread = max(plain) / min(plain) - 1
    which = f"losses that spread over {spread:.0e}" if spread else "losses"
    return f"{which} {'agree to' if difference <= LIMIT else 'differ by'} {difference:.0e}"


def same(ours: Sequence[object], plain: Sequence[object], what: str) -> str:
    """Return how many of the results are equal."""
    equal = sum(a == b for a, b in zip(ours, plain, strict=True))
    return f"{equal} of {len(plain)} {what} equal"
