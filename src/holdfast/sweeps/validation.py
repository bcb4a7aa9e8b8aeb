"""validation.json: what a point of a sweep scored under one training seed, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from holdfast.files.atomic import read_json
from holdfast.files.typed import typed
from holdfast.settings.base import Strict


class OfPoint(Strict):
    """A file about one point; ``values``: those of the swept settings."""

    model: str
    arm: str
    seed: int
    point: str
    values: dict[str, JsonValue]


class LossAndGaps(Strict):
    """f(theta), and f(theta + rho v) - f(theta) draw by draw, in nats a response token."""

    loss: float
    gaps: list[float]


class ValidationCell(Strict):
    """One level of one perturbation; ``outcomes``: a string a draw, one character a behavior."""

    perturbation: str
    level: str
    draws: int
    outcomes: list[str]


class Scores(LossAndGaps):
    """What is measured of a point.

    ``move`` is the Euclidean norm of its change of the weights; ``over_refusal`` has one character
    a benign prompt.
    """

    move: float
    rho: float
    behaviors_sha256: str
    over_refusal: str
    cells: list[ValidationCell]


class ScoredPoint(Scores, OfPoint):
    """A point and its scores."""


class DivergedPoint(OfPoint):
    """A point without scores, and what was said when it diverged."""

    diverged: str


def read_point(path: Path) -> ScoredPoint | DivergedPoint:
    """Read a validation.json; raise HoldfastError naming it when it is missing or damaged."""
    content = read_json(path)
    if isinstance(content, Mapping) and "diverged" in content:
        return typed(DivergedPoint, content, str(path))
    return typed(ScoredPoint, content, str(path))
