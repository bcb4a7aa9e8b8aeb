"""The small files that tables and figures are made from, as types.

Stages write them as plain JSON; they are read strictly: a file with another schema, or one that is
damaged, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import ConfigDict, Field
from pydantic import Strict as Strictly

from holdfast.data.outputs import SelectionFile, Windows
from holdfast.errors import HoldfastError, nearest
from holdfast.files.typed import read_typed
from holdfast.settings.base import Strict

Kind = Literal["asr", "rate", "perplexity", "accuracy"]
Better = Literal["lower", "higher"]


class _Content(Strict):
    model_config = ConfigDict(allow_inf_nan=False, populate_by_name=True)


class File(_Content):
    """Content of a file; ``made_by``: what to do where there is none."""

    name: ClassVar[str]
    made_by: ClassVar[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; raise HoldfastError naming it when it is missing, damaged or of old."""
        return read_typed(cls, path)


class OfArm(File):
    """Content of a file about one arm of one model."""

    model: str
    arm: str


class MeasuredMetric(_Content):
    """What a summary says of a metric."""

    kind: Kind
    better: Better
    label: str


class TaskScores(_Content):
    """Scores of an lm-eval task, item by item; a string of 0 and 1 where they are no others."""

    metric: str
    scores: list[str | list[float]]


class SummaryCell(_Content):
    """One level of one perturbation.

    ``outcomes``: by judge or measure a string a draw, one character a behavior or prompt.
    ``perplexity`` and ``lm_eval`` (by task): one entry a draw; None where not measured.
    """

    perturbation: str
    level: str
    draws: int = Field(ge=1)
    noise_seeds: list[int]
    outcomes: dict[str, list[str]]
    perplexity: list[Windows] | None = None
    lm_eval: dict[str, TaskScores] | None = None


class Summary(OfArm):
    """summary.json: what was measured of one arm and training seed, under a perturbation.

    ``weights``: a digest that arms with the same weights share.
    """

    name = "summary.json"
    made_by = "run the evaluation"

    release: Literal[2] = Field(alias="schema")
    seed: int
    weights: str
    behaviors: int
    behaviors_sha256: str
    meaningless: bool
    versions: dict[str, str]
    dtype: str
    metrics: dict[str, MeasuredMetric]
    cells: list[SummaryCell]


class Cost(OfArm):
    """cost.json: what the stage that makes an arm took."""

    name = "cost.json"
    made_by = "run the training"

    stage: str
    steps: int
    resumed: bool
    wall_s: float
    peak_memory_bytes: int
    forward_passes: float
    memory_kind: str
    device: str


class Gradient(_Content):
    """|grad f|^2, and for every rho |grad f_rho|^2 with its standard error, if there is one."""

    square: float
    smoothed: list[Annotated[tuple[float, float | None], Strictly(False)]]


class FirstStep(_Content):
    """What a zeroth-order log tells of its learning rate."""

    learning_rate: float
    size: float
    directions: int
    trace: float
    standard_error: float | None


class Gap(OfArm):
    """gap.json: losses around an arm, ``plus`` and ``minus`` of shape (rho, draws).

    ``weights``: a digest that arms with the same weights share.
    """

    name = "gap.json"
    made_by = "measure an arm"

    seed: int
    weights: str
    samples: int
    data_sha256: str
    rho: list[float]
    loss: float
    plus: list[list[float]]
    minus: list[list[float]]
    gradient: Gradient | None
    step: FirstStep | None


class TrainingStep(_Content):
    """One optimizer step of first-order training."""

    step: int
    loss: float
    tokens: int
    learning_rate: float
    gradient_norm: float


class History(OfArm):
    """history.json: first-order training, step by step."""

    name = "history.json"
    made_by = "train a first-order arm"

    seed: int
    steps: list[TrainingStep]


class ChosenLayers(SelectionFile, OfArm):
    """selection.json: scores of an arm's layers, by the name of the score, and those chosen."""

    name = "selection.json"
    made_by = "select layers"


class Counted(_Content):
    """How many verdicts of ``n`` agree with the oracle's."""

    n: int
    agree: int


class OracleAgreement(File):
    """<judge>.agreement.json: how often a judge agrees with the embedded world's oracle."""

    name = "agreement.json"
    made_by = "check the judges"

    judge: str
    clean: Counted
    noised: Counted
    required: dict[Literal["clean", "noised"], float]


F = TypeVar("F", bound=OfArm)


def models_of(
    kind: type[File], files: Sequence[OfArm], wanted: Literal["all"] | Sequence[str]
) -> list[str]:
    """Return the models shown: those wanted, or all there are; HoldfastError: there are none."""
    present = list(dict.fromkeys(file.model for file in files))
    if not present:
        raise none_of(kind)
    return present if wanted == "all" else list(wanted)


def none_of(kind: type[File]) -> HoldfastError:
    """Say that there is no file of a kind."""
    return HoldfastError(f"there is no {kind.name} to show: {kind.made_by} first")


def of_arm(kind: type[F], files: Sequence[F], model: str, arm: str, detail: str = "") -> list[F]:
    """Return an arm's files, one a training seed; raise HoldfastError naming a missing one.

    ``detail``: what else a missing one is of.
    """
    mine = [file for file in files if (file.model, file.arm) == (model, arm)]
    if not mine:
        raise missing(kind, model, arm, [(file.model, file.arm) for file in files], detail)
    return mine


def missing(
    kind: type[File],
    model: str,
    arm: str,
    present: Sequence[tuple[str, str]],
    detail: str = "",
) -> HoldfastError:
    """Say which file of an arm is missing; ``present``: model and arm of those there are."""
    has = list(dict.fromkeys("/".join(names) for names in present))
    return HoldfastError(
        f"the {kind.name} of model '{model}', arm '{arm}'{detail} is missing: there is "
        f"{', '.join(has) or 'none'}{nearest(f'{model}/{arm}', has)}"
    )


def content_of(file: File) -> dict[str, object]:
    """Return a file's content as it is written."""
    return file.model_dump(by_alias=True, exclude_none=True)
