"""Settings of the published numbers beside ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from holdfast.settings.base import Frozen
from holdfast.settings.cells import Level


class Published(Frozen):
    """Published numbers beside ours, and what their paper calls what this config calls."""

    table: str = Field(description="File of `published/` that holds them, without `.csv`.")
    models: dict[str, str] = Field(
        description="Published name of each model; one left out has no published numbers."
    )
    arms: dict[str, str] = Field(
        description="Published section of each arm; one left out has no published numbers."
    )
    perturbations: dict[str, str] = Field(
        {}, description="Published name of each perturbation; one left out is not compared."
    )
    levels: dict[str, dict[str, Level]] = Field(
        {}, description="Published level of each level, by perturbation; default: the same level."
    )
    metrics: dict[str, str] = Field(
        description="Published name of each metric; one left out is not compared."
    )


@dataclass(frozen=True)
class Comparison:
    """What a table shows that published numbers can stand beside.

    ``metrics``: all that it could show. ``levels``: those shown, by perturbation; what has neither,
    such as a cost, is under the empty ones.
    """

    names: Published
    arms: Sequence[str]
    metrics: Sequence[str]
    levels: Mapping[str, Collection[str]]
