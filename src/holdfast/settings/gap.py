"""Settings of the measurement of the robustness gap and of what bounds a zeroth-order step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from holdfast.settings.base import Frozen


class GapSettings(Frozen):
    """Robustness gap Rob_rho(theta) = E f(theta + rho v) - f(theta) of arms (section 4.3).

    Measured on the pairs of `data.safety`, for the arms that a table of kind `gap` or a figure of
    kind `gap_curve` shows, or a claim of kind `gap` is about.
    """

    rho: list[Annotated[float, Field(gt=0)]] = Field(
        [1e-3, 2e-3, 3e-3],
        min_length=1,
        description="sizes of the random perturbations, in units of the weights; default: the"
        " paper's weight noise",
    )
    draws: int = Field(
        32,
        ge=2,
        description="draws of v, taken at theta + rho v and theta - rho v; the same for all arms"
        " and every rho",
    )
    samples: int = Field(64, ge=1, description="safety pairs the loss is taken on, the first")
    gradient_copies: int = Field(
        8,
        ge=0,
        multiple_of=4,
        description="copies at theta +- rho v whose gradients estimate |grad f_rho|^2, a multiple"
        " of 4; 0: no gradient is measured",
    )
    batch_size: int = Field(8, ge=1, description="samples a pass; memory only, up to rounding")

    @field_validator("rho")
    @classmethod
    def _sorted(cls, rho: list[float]) -> list[float]:
        if len(set(rho)) < len(rho):
            raise ValueError("a size is there more than once")
        return sorted(rho)
