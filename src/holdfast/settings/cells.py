"""Which cells of which arms a table or figure shows: what the settings of all kinds share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from holdfast.settings.base import Frozen

Level = str | int | float
All = Literal["all"]

# What is measured of a cell beside the verdicts of judges.
MEASURES = ("perplexity", "lm_eval", "over_refusal", "degenerate")


def level_name(level: Level) -> str:
    """Return a level's name, the same for 2, 2.0 and "2"."""
    try:
        return format(float(level), "g")
    except ValueError:
        return str(level)


class Reference(Frozen):
    """What a section's changes are measured against."""

    arm: str = Field(description="Arm compared with.")
    perturbation: Literal["same", "none"] = Field(
        "same", description="Its cell: under the same perturbation and level, or unperturbed."
    )


class Section(Frozen):
    """Rows of one arm."""

    title: str = Field(
        "", description="Line printed above the section's rows; default, of several: its arms."
    )
    method: str = Field("", description="Text of the Method column, which any section may add.")
    arm: str = Field(description="Arm whose cells are the rows.")
    reference: Reference | None = Field(None, description="Source of the arrows; null: no arrows.")
    perturbations: All | list[str] = Field("all", description="Perturbations shown, in order.")
    levels: dict[str, list[Level]] = Field(
        {}, description="Levels shown, by perturbation; a perturbation left out shows all of its."
    )
