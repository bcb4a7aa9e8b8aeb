"""Settings of claims: statements about arms that the data support, contradict or leave open."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from holdfast.errors import HoldfastError
from holdfast.settings.base import Frozen
from holdfast.settings.cells import MEASURES, All, Level, Reference
from holdfast.settings.names import known
from holdfast.settings.reads import Reads, Run, ShownModels
from holdfast.settings.sections import check_controls, check_sections, summaries_of


class _Claim(Frozen):
    text: str = Field(description="The claim, in a few words.")
    source: str = Field("", description="Where it is made, such as `section 5.3`.")

    def check(self, run: Run, path: str) -> None:
        """Raise HoldfastError, with the setting's path, when the claim cannot be tested."""


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

    def check(self, run: Run, path: str) -> None:
        for metric in self.metrics:
            known(f"{path}.metrics", metric, [*run.judges, *MEASURES])
        if len(self.metrics) > 1 and (alone := set(self.metrics) & set(MEASURES)):
            raise HoldfastError(
                f"{path}.metrics: '{min(alone)}' is not averaged with others; name it alone, or"
                " several judges"
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

    def check(self, run: Run, path: str) -> None:
        for field, arm in (("arm", self.arm), ("share_of", self.share_of)):
            known(f"{path}.{field}", arm, run.arms)
            if not run.arms[arm].has_cost:
                raise HoldfastError(f"{path}.{field}: '{arm}' has no stage that costs anything")


class GapClaim(_Claim):
    """An arm's robustness gap is lower than another's, by the same noise draws: one paired test."""

    kind: Literal["gap"]
    arm: str = Field(description="Arm that the claim is about.")
    than: str = Field(description="Arm whose robustness gap is the larger one.")
    rho: float = Field(description="Size of the random perturbations, one of those in `gap.rho`.")

    def check(self, run: Run, path: str) -> None:
        known(f"{path}.arm", self.arm, run.arms)
        known(f"{path}.than", self.than, run.arms)
        if self.rho not in run.gap.rho:
            sizes = ", ".join(f"{rho:g}" for rho in run.gap.rho)
            raise HoldfastError(
                f"{path}.rho: the gap is not measured at {self.rho:g}; name one of gap.rho"
                f" ({sizes}), or add it there"
            )


Claim = Annotated[DirectionClaim | EqualClaim | CostClaim | GapClaim, Field(discriminator="kind")]


class ClaimsTable(ShownModels):
    """Claims, each with its estimate, its test and a verdict that follows from the data alone.

    A verdict is supported, contradicted, cannot tell, or, where two arms hold the same weights,
    same arm.
    """

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
    def changes(self) -> dict[str, DirectionClaim | EqualClaim]:
        """The claims about cells, by name."""
        kinds = (DirectionClaim, EqualClaim)
        return {name: claim for name, claim in self.catalogue.items() if isinstance(claim, kinds)}

    def reads(self, run: Run) -> Reads:
        claims = self.catalogue.values()
        gaps = [claim for claim in claims if isinstance(claim, GapClaim)]
        costs = [claim for claim in claims if isinstance(claim, CostClaim)]
        return Reads(
            self.models_of(run),
            summaries=summaries_of(run, list(self.changes.values()), self.controls),
            gaps=list(dict.fromkeys(arm for gap in gaps for arm in (gap.arm, gap.than))),
            costs=list(dict.fromkeys(arm for cost in costs for arm in (cost.arm, cost.share_of))),
        )

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        changes = self.changes
        where = [(f"{path}.catalogue.{name}", claim) for name, claim in changes.items()]
        check_sections(run, where)
        check_controls(run, path, list(changes.values()), self.controls)
        for name, claim in self.catalogue.items():
            claim.check(run, f"{path}.catalogue.{name}")
