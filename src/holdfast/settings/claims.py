"""Settings of claims: statements about arms that the data support, contradict or leave open."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from holdfast.settings.base import Frozen
from holdfast.settings.cells import (
    All,
    Level,
    Reference,
    ShownModels,
)


class _Claim(Frozen):
    text: str = Field(description="The claim, in a few words.")
    source: str = Field("", description="Where it is made, such as `section 5.3`.")


class _ChangeClaim(_Claim):
    arm: str = Field(description="Arm that the claim is about.")
    reference: Reference = Field(description="What it is compared with.")
    metrics: list[str] = Field(
        min_length=1,
        description="One measure; or judges, whose rates are averaged behavior by behavior.",
    )
    perturbations: All | list[str] = Field(
        "all", description="Perturbations whose cells are averaged, each cell alike."
    )
    levels: dict[str, list[Level]] = Field(
        {}, description="Levels averaged, by perturbation; a perturbation left out has all of its."
    )


class DirectionClaim(_ChangeClaim):
    """A metric is lower, or higher, than the reference's: one paired test."""

    kind: Literal["lower", "higher"]


class EqualClaim(_ChangeClaim):
    """A metric barely moves: the interval of its change lies within a margin."""

    kind: Literal["equal"]
    margin: float = Field(
        gt=0, description="Change that counts as none; of perplexity, a share of the reference's."
    )


class CostClaim(_Claim):
    """The stage that makes an arm costs at most a share of another's."""

    kind: Literal["cost"]
    arm: str = Field(description="Arm whose cost it is.")
    share_of: str = Field(description="Arm whose cost it is a share of.")
    measure: Literal["wall_s", "peak_memory_bytes", "forward_passes"] = Field(
        description="Cost meant: run time, peak memory, or compute."
    )
    limit: float = Field(gt=0, description="Largest share with which the claim holds.")


class GapClaim(_Claim):
    """An arm's robustness gap is lower than another's, by the same noise draws: one paired test."""

    kind: Literal["gap"]
    arm: str = Field(description="Arm that the claim is about.")
    than: str = Field(description="Arm whose robustness gap is the larger one.")
    rho: float = Field(description="Size of the random perturbations, one of those in `gap.rho`.")


Claim = Annotated[DirectionClaim | EqualClaim | CostClaim | GapClaim, Field(discriminator="kind")]


class ClaimsTable(ShownModels):
    """Claims, each with its estimate, its test and a verdict that follows from the data alone."""

    kind: Literal["claims"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption.")
    catalogue: dict[str, Claim] = Field(min_length=1, description="Claims by name; a row each.")
    draws: Literal["random", "fixed"] = Field(
        "random", description="Noise draws as a sample of the noise, or as given."
    )
    adjust: Literal["holm", "bh"] = Field(
        "holm", description="How p-values are adjusted over all claims of a direction."
    )
    controls: list[str] = Field(
        [],
        description="Arms whose moves mean nothing. Those made `from` a claim's reference arm give"
        " its rates a noise floor; inside it no direction is told.",
    )

    @property
    def sections(self) -> list[DirectionClaim | EqualClaim]:
        """The claims about cells."""
        return list(self.changes.values())

    @property
    def changes(self) -> dict[str, DirectionClaim | EqualClaim]:
        """The claims about cells, by name."""
        kinds = (DirectionClaim, EqualClaim)
        return {name: one for name, one in self.catalogue.items() if isinstance(one, kinds)}

    @property
    def gaps(self) -> dict[str, GapClaim]:
        """The claims about robustness gaps."""
        return {name: one for name, one in self.catalogue.items() if isinstance(one, GapClaim)}

    @property
    def costs(self) -> dict[str, CostClaim]:
        """The claims about cost."""
        return {name: one for name, one in self.catalogue.items() if isinstance(one, CostClaim)}
