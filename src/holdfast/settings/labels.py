"""What things are called in tables and figures."""

from __future__ import annotations

from pydantic import Field

from holdfast.settings.base import Frozen


class PerturbationLabel(Frozen):
    """How a perturbation is printed."""

    label: str = Field(description="Words printed in the Perturbation column.")
    symbol: str = Field("", description="Greek letter printed before the level, such as σ.")
    note: str = Field("", description="Footnote that says what its levels mean.")
    partial: bool = Field(
        False, description="Whether some arms or models lack it; what they lack is left out."
    )


class Labels(Frozen):
    """What names are printed as; a name without a label is printed as it is."""

    arms: dict[str, str] = Field({}, description="Label of each arm.")
    perturbations: dict[str, PerturbationLabel] = Field(
        {}, description="Label, symbol and note of each perturbation."
    )
    parents: dict[str, str] = Field({}, description="Arm that each arm is made from.")
    points: dict[str, str] = Field(
        {}, description="Values of its swept settings that each arm with a sweep was made with."
    )

    def arm(self, name: str) -> str:
        return self.arms.get(name, name)

    def change(self, arm: str, reference: str, under: str = "") -> str:
        """Return what a section that compares two arms is called."""
        return f"{self.arm(arm)} (change from {self.arm(reference)}{under})"

    def perturbation(self, name: str) -> PerturbationLabel:
        plain = PerturbationLabel(label=name.replace("_", " ").capitalize())
        return self.perturbations.get(name, plain)

    def level(self, perturbation: str, level: str) -> str:
        """Return a level with its symbol (``σ=2``), or a dash where there is none."""
        symbol = self.perturbation(perturbation).symbol
        return f"{symbol}={level}" if symbol and level else level or "–"
