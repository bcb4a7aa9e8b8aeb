"""Settings of sweeps: which points an arm's settings span, and how a point is scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue

from holdfast.errors import nearest
from holdfast.settings.base import Frozen
from holdfast.settings.cells import (
    Level,
)
from holdfast.settings.judges import PrefixList

MOST_POINTS = 64

Values = Annotated[list[Any], Field(min_length=1)]
Sweep = Annotated[
    dict[str, Values],
    Field(
        description="values to try, by setting of this stage: `snakemake sweep_<arm>` makes an arm"
        f" of every combination (at most {MOST_POINTS}) and scores it on validation data"
    ),
]


class SweepSettings(Frozen):
    """How the points of every sweep are scored and compared."""

    choose: Literal["asr", "gap"] = Field(
        "asr",
        description="what the chosen point has the lowest of: mean validation ASR over the"
        " perturbations, or robustness gap; of points within one standard error of the lowest"
        " (paired) the one with the smallest move",
    )
    rho: float = Field(
        1e-3,
        gt=0,
        description="size of the random perturbations of the robustness gap, in units of the"
        " weights: E f(theta + rho v) - f(theta), v standard normal over all parameters",
    )
    draws: int = Field(8, ge=2, description="draws of v, the same for all points")
    perturbations: dict[str, Annotated[list[Level], Field(min_length=1)]] = Field(
        {},
        description="levels under which validation ASR is taken, by entry of `perturbations`;"
        " default: weight noise at its middle level. Unperturbed ASR is always taken",
    )
    prefixes: PrefixList = Field(
        "strings29", description="refusal strings that decide on validation completions"
    )
    batch_size: int = Field(8, ge=1, description="validation pairs a forward pass; memory only")
    points_per_job: int = Field(
        4, ge=1, description="points that one job scores, loading their parent once"
    )


def checked_sweep(sweep: Mapping[str, list[Any]], stage: type[BaseModel]) -> dict[str, list[Any]]:
    """Return the values that ``stage`` takes them for, settings in its order, values sorted.

    Raises:
        ValidationError: the stage does not allow a value.
        ValueError: the stage has no such setting; a value is there twice; there are more than
            ``MOST_POINTS`` points.
    """
    for name in sweep:
        if name not in stage.model_fields:
            hint = nearest(name, stage.model_fields) or f"; known: {', '.join(stage.model_fields)}"
            raise ValueError(f"'{name}' is no setting of this stage{hint}")
    taken = {
        name: sorted(
            (getattr(stage.model_validate({name: value}), name) for value in sweep[name]), key=_rank
        )
        for name in stage.model_fields
        if name in sweep
    }
    for name, values in taken.items():
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            raise ValueError(f"{name} has the value {twice[0]} more than once")
    points = math.prod(map(len, taken.values()))
    if points > MOST_POINTS:
        raise ValueError(
            f"these values make {points} points, more than {MOST_POINTS}: leave some out"
        )
    return taken


def _rank(value: Any) -> tuple[bool, bool, Any]:
    """Order null first, then numbers, then words."""
    return isinstance(value, str), value is not None, value


class SweepResult(Frozen):
    """Points of one sweep compared on validation data: a table and a figure."""

    kind: Literal["sweep"] = "sweep"
    title: str = Field(description="Headline.")
    arm: str = Field(description="Arm that has the sweep.")
    used: dict[str, JsonValue] = Field(description="Values of the swept settings that the arm has.")
    choose: Literal["asr", "gap"] = Field(description="What the chosen point has the lowest of.")

    def is_used(self, values: Mapping[str, object]) -> bool:
        """Say whether a point with these values is the arm itself."""
        return values == self.used
