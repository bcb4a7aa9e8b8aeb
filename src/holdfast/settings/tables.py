"""Settings of tables: each kind says what it is made from, and checks what it refers to."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from holdfast.errors import HoldfastError
from holdfast.settings.base import Frozen
from holdfast.settings.cells import MEASURES, All, Level, Reference, Section
from holdfast.settings.claims import ClaimsTable
from holdfast.settings.names import known
from holdfast.settings.published import Comparison, Published
from holdfast.settings.reads import (
    Reads,
    Result,
    Run,
    ShownModels,
    check_arms,
    check_judges,
)
from holdfast.settings.sections import (
    check_controls,
    check_sections,
    levels_of,
    summaries_of,
)

COSTS = ("wall_s", "peak_memory_bytes", "forward_passes")


class RobustnessTable(ShownModels):
    """Metrics under perturbations (Tables 1, 2, 4, 6, 7, 8 and 9 of the paper)."""

    kind: Literal["robustness"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption.")
    sections: list[Section] = Field(min_length=1, description="Sections, top to bottom.")
    metrics: list[str] = Field(
        min_length=1,
        description="Judges and measures (perplexity, lm_eval, over_refusal, degenerate) shown.",
    )
    extra_metrics: list[str] = Field(
        ["over_refusal"], description="Metrics added where the run measured them."
    )
    best_among_sections: bool = Field(
        False, description="Bold the best ASR among the sections, cell by cell."
    )
    layout: Literal["rows", "transposed"] = Field(
        "rows", description="Perturbations as rows, or metrics as rows and levels as columns."
    )
    draws: Literal["random", "fixed"] = Field(
        "random",
        description="Noise draws as a sample of the noise, which intervals and tests then cover"
        " (random), or as the only ones of interest (fixed); with several training seeds, these are"
        " the sample, and each has draws of its own.",
    )
    adjust: Literal["holm", "bh"] = Field(
        "holm",
        description="How p-values are adjusted: Holm (the chance of any false finding) or Benjamini"
        " and Hochberg (the share of false findings).",
    )
    family: Literal["table", "section", "metric"] = Field(
        "table", description="Comparisons that are adjusted together: all, a section's, a metric's."
    )
    controls: list[str] = Field(
        [],
        description="Arms whose moves mean nothing, such as random moves. Those made `from` a"
        " section's reference arm give its changes of rates a noise floor, inside which a change is"
        " marked and greyed.",
    )
    published: Published | None = Field(
        None, description="Published numbers to compare with; null: none."
    )

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), summaries=summaries_of(run, self.sections, self.controls))

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        places = [f"{path}.sections.{number}" for number in range(len(self.sections))]
        check_sections(run, list(zip(places, self.sections, strict=True)))
        check_controls(run, path, self.sections, self.controls)
        check_judges(run, path, self.metrics, MEASURES)

    def comparison(self, run: Run) -> Comparison | None:
        if self.published is None:
            return None
        arms = [section.arm for section in self.sections]
        metrics = [*run.judges, *MEASURES]
        return Comparison(self.published, arms, metrics, levels_of(run, self.sections))


class CostTable(ShownModels):
    """Run time and peak memory of the stages that made the arms (Table 3)."""

    kind: Literal["cost"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption.")
    arms: list[str] = Field(min_length=1, description="Arms as columns; ratios are to the first.")
    published: Published | None = Field(
        None, description="Published numbers to compare with; null: none."
    )

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), costs=self.arms)

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        for arm in self.arms:
            known(f"{path}.arms", arm, run.arms)
            if not run.arms[arm].has_cost:
                raise HoldfastError(f"{path}.arms: '{arm}' has no stage whose cost could be shown")

    def comparison(self, run: Run) -> Comparison | None:
        if self.published is None:
            return None
        return Comparison(self.published, self.arms, COSTS, {"": [""]})


class JudgeAgreementTable(Result):
    """Agreement of each judge with the embedded world's oracle."""

    kind: Literal["judge_agreement"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption.")

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), agreements=run.pocket_judges)


class JudgedCells(ShownModels):
    """Cells of arms, as judges see them."""

    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption.")
    metrics: All | list[str] = Field("all", description="Judges, in order.")
    perturbations: All | list[str] = Field("all", description="Perturbations shown, in order.")
    levels: dict[str, list[Level]] = Field(
        {}, description="Levels shown, by perturbation; a perturbation left out shows all of its."
    )

    @property
    @abstractmethod
    def sections(self) -> list[Section]:
        """The cells of each arm shown, and what they are compared with."""

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), summaries=summaries_of(run, self.sections))

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        check_sections(run, [(path, section) for section in self.sections])
        check_judges(run, path, self.metrics)

    def section(self, arm: str, reference: Reference | None = None) -> Section:
        """Return these cells of an arm, as a section of a robustness table has them."""
        cells = {"perturbations": self.perturbations, "levels": self.levels}
        return Section(arm=arm, reference=reference, **cells)


class JudgeKappaTable(JudgedCells):
    """Agreement of each pair of judges beyond chance: Cohen's kappa, per perturbation."""

    kind: Literal["judge_kappa"]
    arms: list[str] = Field(min_length=1, description="Arms whose completions are pooled.")

    @property
    def sections(self) -> list[Section]:
        return [self.section(arm) for arm in self.arms]

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        judges = run.judges if self.metrics == "all" else self.metrics
        if len(judges) < 2:
            raise HoldfastError(f"{path}.metrics: a pair of judges is needed, not {len(judges)}")


class FlipsTable(JudgedCells):
    """Behaviors on which an arm's verdict is another than its reference's."""

    kind: Literal["flips"]
    arm: str = Field(description="Arm whose verdicts are compared.")
    reference: Reference = Field(description="What they are compared with.")
    limit: int | None = Field(40, ge=1, description="Rows a model; null: all. The CSV has all.")

    @property
    def sections(self) -> list[Section]:
        return [self.section(self.arm, self.reference)]

    def reads(self, run: Run) -> Reads:
        return replace(super().reads(run), behaviors=True)


class Tolerance(Frozen):
    """Harm to utility that passes as none even where it is certain."""

    perplexity: float = Field(0, ge=0, description="Share by which perplexity may be up.")
    lm_eval: float = Field(0, ge=0, description="Accuracy that may be lost.")

    def of(self, metric: str) -> float:
        return float(getattr(self, metric))


class HiddenDangerTable(JudgedCells):
    """Cells where utility looks unharmed, but ASR is up."""

    kind: Literal["hidden_danger"]
    arms: list[str] = Field(min_length=1, description="Arms whose cells are looked through.")
    reference: Reference | None = Field(
        None, description="What changes are against; null: the same arm, unperturbed."
    )
    tolerance: Tolerance = Field(
        default_factory=Tolerance, description="Harm to utility that passes as none."
    )

    @property
    def sections(self) -> list[Section]:
        return [
            self.section(arm, self.reference or Reference(arm=arm, perturbation="none"))
            for arm in self.arms
        ]


class GapTable(ShownModels):
    """Robustness gap, gradients and curvature of arms, and the check of Theorem 4.4."""

    kind: Literal["gap"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption.")
    arms: list[str] = Field(min_length=1, description="Arms, one section each.")
    references: dict[str, str] = Field(
        {}, description="Arm that an arm's gap is compared with, by arm; one left out: with none."
    )

    def reads(self, run: Run) -> Reads:
        arms = dict.fromkeys([*self.arms, *self.references.values()])
        return Reads(self.models_of(run), gaps=list(arms))

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        check_arms(run, f"{path}.arms", self.arms)
        for arm, reference in self.references.items():
            known(f"{path}.references", arm, self.arms)
            known(f"{path}.references.{arm}", reference, run.arms)


TableSettings = Annotated[
    RobustnessTable
    | CostTable
    | JudgeAgreementTable
    | JudgeKappaTable
    | FlipsTable
    | HiddenDangerTable
    | ClaimsTable
    | GapTable,
    Field(discriminator="kind"),
]
