"""What a table or figure is made from: its kind says so, and checks the names that it refers to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import Field

from holdfast.settings.arms import Arm
from holdfast.settings.base import Frozen
from holdfast.settings.cells import All
from holdfast.settings.gap import GapSettings
from holdfast.settings.names import known
from holdfast.settings.perturbations import Perturbation
from holdfast.settings.published import Comparison


class Run(Protocol):
    """What kinds of tables and figures ask of the settings of a run."""

    @property
    def models(self) -> Mapping[str, object]: ...
    @property
    def arms(self) -> Mapping[str, Arm]: ...
    @property
    def selections(self) -> Mapping[str, object]: ...
    @property
    def perturbations(self) -> Mapping[str, Perturbation]: ...
    @property
    def judges(self) -> Mapping[str, object]: ...
    @property
    def pocket_judges(self) -> Sequence[str]: ...
    @property
    def gap(self) -> GapSettings: ...


@dataclass(frozen=True)
class Reads:
    """The small files that a table or figure is made from: of every model here and training seed.

    ``summaries``: the perturbations that it shows, by arm. ``gaps``, ``costs`` and ``histories``:
    arms. ``selections``: arms, each with a layer selection. ``agreements``: judges whose agreement
    with the embedded world's oracle is shown. ``behaviors``: whether it names behaviors.
    """

    models: Sequence[str]
    summaries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gaps: Sequence[str] = ()
    costs: Sequence[str] = ()
    histories: Sequence[str] = ()
    selections: Sequence[tuple[str, str]] = ()
    agreements: Sequence[str] = ()
    behaviors: bool = False


class Result(Frozen):
    """What every kind of table and figure says of itself."""

    def models_of(self, run: Run) -> list[str]:
        """Return the models that it shows."""
        return list(run.models)

    def reads(self, run: Run) -> Reads:
        """Return what it is made from."""
        return Reads(self.models_of(run))

    def check(self, run: Run, path: str) -> None:
        """Raise HoldfastError at the first name that refers to nothing, or that cannot be used.

        ``path``: where in the config this entry is.
        """

    def comparison(self, run: Run) -> Comparison | None:
        """Return what of it has published numbers beside it; None: it is compared with none."""
        return None


class ShownModels(Result):
    """Which models are shown."""

    models: All | list[str] = Field("all", description="Models shown, one block each.")

    def models_of(self, run: Run) -> list[str]:
        return list(run.models) if self.models == "all" else list(self.models)

    def check(self, run: Run, path: str) -> None:
        for model in self.models_of(run):
            known(f"{path}.models", model, run.models)


def check_arms(run: Run, path: str, arms: Sequence[str]) -> None:
    """Raise HoldfastError at the first arm that there is none of."""
    for arm in arms:
        known(path, arm, run.arms)


def check_judges(
    run: Run, path: str, judges: All | Sequence[str], measures: Sequence[str] = ()
) -> None:
    """Raise HoldfastError at the first metric that is no judge, nor one of ``measures``."""
    for judge in run.judges if judges == "all" else judges:
        known(f"{path}.metrics", judge, [*run.judges, *measures])
