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


DEFAULT_LABELS = {
    "none": PerturbationLabel(label="None"),
    "w4a16": PerturbationLabel(label="Quantization"),
    "w4a4": PerturbationLabel(label="Quantization"),
    "gptq": PerturbationLabel(label="Quantization"),
    "fake_quant": PerturbationLabel(label="Quantization"),
    "weight_noise": PerturbationLabel(label="Weight noise", symbol="σ"),
    "activation_noise": PerturbationLabel(label="Activation noise", symbol="α"),
    "finetune": PerturbationLabel(label="Fine-tuning"),
}


class Labels(Frozen):
    """What names are printed as; a name without a label is printed as it is."""

    models: dict[str, str] = Field({}, description="Label of each model.")
    arms: dict[str, str] = Field({}, description="Label of each arm.")
    perturbations: dict[str, PerturbationLabel] = Field(
        {}, description="Label, symbol and note of each perturbation."
    )

    parents: dict[str, str] = Field({}, description="Arm that each arm is made from.")
    points: dict[str, str] = Field(
        {}, description="Values of its swept settings that each arm with a sweep was made with."
    )

    def model(self, name: str) -> str:
        return self.models.get(name, name)

    def arm(self, name: str) -> str:
        return self.arms.get(name, name)

    def change(self, arm: str, reference: str, under: str = "") -> str:
        """Return what a section that compares two arms is called."""
        return f"{self.arm(arm)} (change from {self.arm(reference)}{under})"

    def perturbation(self, name: str) -> PerturbationLabel:
        plain = PerturbationLabel(label=name.replace("_", " ").capitalize())
        return self.perturbations.get(name) or DEFAULT_LABELS.get(name, plain)

    def level(self, perturbation: str, level: str) -> str:
        """Return a level with its symbol (``σ=2``), or a dash where there is none."""
        symbol = self.perturbation(perturbation).symbol
        return f"{symbol}={level}" if symbol and level else level or "–"
