"""What claims refer to: metrics that can be averaged, and arms that have a cost."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.config.names import known
from holdfast.errors import HoldfastError
from holdfast.settings.claims import ClaimsTable, CostClaim, GapClaim
from holdfast.settings.run import Settings


def check_claims(
    settings: Settings, path: str, table: ClaimsTable, measures: Sequence[str]
) -> None:
    """Raise HoldfastError at the first claim that cannot be tested."""
    for name, claim in table.catalogue.items():
        where = f"{path}.catalogue.{name}"
        if isinstance(claim, CostClaim):
            for field, arm in (("arm", claim.arm), ("share_of", claim.share_of)):
                known(f"{where}.{field}", arm, settings.arms)
                if not settings.arms[arm].has_cost:
                    raise HoldfastError(
                        f"{where}.{field}: '{arm}' has no stage that costs anything"
                    )
            continue
        if isinstance(claim, GapClaim):
            known(f"{where}.arm", claim.arm, settings.arms)
            known(f"{where}.than", claim.than, settings.arms)
            if claim.rho not in settings.gap.rho:
                sizes = ", ".join(f"{rho:g}" for rho in settings.gap.rho)
                raise HoldfastError(
                    f"{where}.rho: the gap is not measured at {claim.rho:g}; name one of gap.rho"
                    f" ({sizes}), or add it there"
                )
            continue
        for metric in claim.metrics:
            known(f"{where}.metrics", metric, [*settings.judges, *measures])
        if len(claim.metrics) > 1 and (alone := set(claim.metrics) & set(measures)):
            raise HoldfastError(
                f"{where}.metrics: '{min(alone)}' is not averaged with others; name it alone, or"
                " several judges"
            )
