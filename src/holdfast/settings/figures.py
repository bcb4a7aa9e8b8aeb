"""Settings of figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from holdfast.errors import HoldfastError
from holdfast.settings.base import Frozen
from holdfast.settings.cells import All, Level
from holdfast.settings.names import known
from holdfast.settings.reads import Reads, Run, ShownModels, check_arms, check_judges
from holdfast.settings.sections import check_cells, perturbations_of


class ScoreSeries(Frozen):
    """One line of a layer-score figure."""

    selection: str = Field(description="Layer selection that computed the scores.")
    score: str = Field(description="Which of its scores: robustness, noise, quant, snip, wanda.")
    label: str = Field(description="Text in the legend.")


class LayerScoresFigure(ShownModels):
    """Layer scores, min-max normalized (Figure 2)."""

    kind: Literal["layer_scores"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption in the report.")
    arm: str = Field(description="Arm whose layers were scored.")
    series: list[ScoreSeries] = Field(min_length=1, max_length=8, description="Lines.")

    def reads(self, run: Run) -> Reads:
        selections = dict.fromkeys((self.arm, series.selection) for series in self.series)
        return Reads(self.models_of(run), selections=list(selections))

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        known(f"{path}.arm", self.arm, run.arms)
        for series in self.series:
            known(f"{path}.series", series.selection, run.selections)


class AsrBarsFigure(ShownModels):
    """ASR of several arms under each perturbation, averaged over judges (Figures 3 and 4)."""

    kind: Literal["asr_bars"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption in the report.")
    arms: list[str] = Field(min_length=1, max_length=8, description="Bars of each group.")
    metrics: list[str] = Field(min_length=1, description="Judges averaged over.")
    perturbations: All | list[str] = Field("all", description="Perturbations shown, in order.")
    levels: dict[str, list[Level]] = Field({}, description="Levels shown, by perturbation.")
    ylabel: str = Field("ASR", description="Label of the vertical axis.")
    labels: dict[str, str] = Field({}, description="Legend text, by arm; default: the arm's label.")

    def reads(self, run: Run) -> Reads:
        wanted = perturbations_of(run, self.perturbations)
        return Reads(self.models_of(run), summaries=dict.fromkeys(self.arms, wanted))

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        check_arms(run, f"{path}.arm", self.arms)
        check_cells(run, path, self.perturbations, self.levels)
        check_judges(run, path, self.metrics)


class AsrCurveFigure(ShownModels):
    """ASR against the strength of perturbations, such as the steps of fine-tuning attacks."""

    kind: Literal["asr_curve"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption in the report.")
    arms: list[str] = Field(min_length=1, max_length=8, description="Lines of each panel.")
    metrics: list[str] = Field(min_length=1, description="Judges averaged over.")
    perturbations: list[str] = Field(
        min_length=1,
        description="Panels: perturbations whose levels are numbers; level 0 is unperturbed.",
    )
    ylabel: str = Field("ASR", description="Label of the vertical axis.")
    labels: dict[str, str] = Field({}, description="Legend text, by arm; default: the arm's label.")

    def reads(self, run: Run) -> Reads:
        wanted = ["none", *self.perturbations]
        return Reads(self.models_of(run), summaries=dict.fromkeys(self.arms, wanted))

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        check_arms(run, f"{path}.arms", self.arms)
        known(f"{path}.perturbations", "none", run.perturbations)
        for name in self.perturbations:
            known(f"{path}.perturbations", name, run.perturbations)
            if not run.perturbations[name].symbol:
                raise HoldfastError(
                    f"{path}.perturbations: the levels of '{name}' are no numbers; name a"
                    " perturbation of kind weight_noise, activation_noise or finetune"
                )
        check_judges(run, path, self.metrics)


class LossCurveFigure(ShownModels):
    """Loss and learning rate of first-order training against the step."""

    kind: Literal["loss_curve"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption in the report.")
    arms: list[str] = Field(
        min_length=1, max_length=8, description="First-order arms: one line each."
    )
    window: int = Field(9, ge=1, description="Steps averaged by the smooth line.")
    labels: dict[str, str] = Field({}, description="Legend text, by arm; default: the arm's label.")

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), histories=self.arms)

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        for arm in self.arms:
            known(f"{path}.arms", arm, run.arms)
            if not run.arms[arm].has_history:
                raise HoldfastError(
                    f"{path}.arms: '{arm}' has no training loss to show: name first-order arms"
                )


class GapCurveFigure(ShownModels):
    """Robustness gap of arms against the size of the perturbation."""

    kind: Literal["gap_curve"]
    title: str = Field(description="Headline.")
    caption: str = Field("", description="Caption in the report.")
    arms: list[str] = Field(min_length=1, max_length=8, description="One line each.")
    labels: dict[str, str] = Field({}, description="Legend text, by arm; default: the arm's label.")

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), gaps=list(dict.fromkeys(self.arms)))

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        check_arms(run, f"{path}.arms", self.arms)


FigureSettings = Annotated[
    LayerScoresFigure | AsrBarsFigure | AsrCurveFigure | LossCurveFigure | GapCurveFigure,
    Field(discriminator="kind"),
]
