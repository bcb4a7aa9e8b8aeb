"""A kind of table or figure is a settings class in the union, and one module of its name."""

from __future__ import annotations

import copy
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, Literal, get_args

import pytest
import yaml
from pydantic import Field, TypeAdapter

from holdfast.config.references import check_references
from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json, write_text
from holdfast.plan import Plan
from holdfast.results.make import make_figure, make_table
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.tables.grid import Entry, Table, TableBlock
from holdfast.settings.figures import FigureSettings
from holdfast.settings.labels import Labels
from holdfast.settings.names import known
from holdfast.settings.reads import Reads, Run, ShownModels
from holdfast.settings.run import Settings
from holdfast.settings.tables import TableSettings
from places import CONFIG


def kinds(union: Any) -> list[str]:
    members = get_args(get_args(union)[0])
    return [kind for member in members for kind in get_args(member.model_fields["kind"].annotation)]


@pytest.mark.parametrize("kind", kinds(TableSettings))
def test_every_kind_of_table_has_a_module_that_builds_it(kind: str) -> None:
    assert callable(import_module(f"holdfast.results.tables.{kind}").build)


@pytest.mark.parametrize("kind", kinds(FigureSettings))
def test_every_kind_of_figure_has_a_module_that_draws_it(kind: str) -> None:
    assert callable(import_module(f"holdfast.results.figures.{kind}").draw)


class FakeTable(ShownModels):
    """Seconds of one arm."""

    kind: Literal["seconds"]
    title: str
    arm: str

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), costs=[self.arm], summaries={"zo": ["w4a16"]})

    def check(self, run: Run, path: str) -> None:
        super().check(run, path)
        known(f"{path}.arm", self.arm, run.arms)


class FakeFigure(ShownModels):
    """Something of one arm."""

    kind: Literal["line"]
    title: str
    arm: str

    def reads(self, run: Run) -> Reads:
        return Reads(self.models_of(run), histories=[self.arm])


class MoreSettings(Settings):
    """Settings with two more kinds."""

    tables: dict[str, Annotated[TableSettings | FakeTable, Field(discriminator="kind")]]  # type: ignore[assignment]
    figures: dict[str, Annotated[FigureSettings | FakeFigure, Field(discriminator="kind")]]  # type: ignore[assignment]


def build(name: str, settings: FakeTable, inputs: Inputs, context: Context) -> Table:
    text = f"{context.labels.arm(settings.arm)}: {inputs.costs[0].wall_s}"
    blocks = (TableBlock("", "", ((Entry(text),),)),)
    about = {"name": name, "title": settings.title, "caption": "", "notes": ()}
    return Table(**about, headings=("Seconds",), text_columns=1, blocks=blocks, csv="seconds\n")


def draw(settings: FakeFigure, inputs: Inputs, out_prefix: str | Path, _: Context) -> None:
    write_text(f"{out_prefix}.svg", f"{settings.title} {len(inputs.histories[0].steps)}")


@pytest.fixture
def config() -> dict[str, Any]:
    config = copy.deepcopy(yaml.safe_load(CONFIG.read_text()))
    config["tables"] = {"fast": {"kind": "seconds", "title": "Time", "arm": "fo"}}
    config["figures"] = {"drawn": {"kind": "line", "title": "Line", "arm": "fo"}}
    return config


@pytest.fixture
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in (("tables.seconds", build), ("figures.line", draw)):
        module = ModuleType(name)
        setattr(module, function.__name__, function)
        monkeypatch.setitem(sys.modules, f"holdfast.results.{name}", module)


def test_a_new_kind_is_planned_as_it_says(config: dict[str, Any]) -> None:
    settings = MoreSettings.model_validate(config)
    check_references(settings)
    plan = Plan(settings)
    home = "results/pocket/pocket"
    assert plan.results.of_table(SimpleNamespace(table="fast")) == [
        f"{home}/zo/seed0/w4a16/summary.json",
        f"{home}/fo/seed0/cost.json",
    ]
    drawn = plan.results.of_figure(SimpleNamespace(figure="drawn"))
    assert drawn == [f"{home}/fo/seed0/history.json"]
    assert plan.evaluation.perturbations("zo") == ["w4a16"]
    assert plan.evaluation.perturbations("fo") == []
    config["tables"]["fast"]["arm"] = "fooo"
    with pytest.raises(HoldfastError, match=r"tables.fast.arm: 'fooo' does not exist"):
        check_references(MoreSettings.model_validate(config))


@pytest.mark.usefixtures("_modules")
def test_a_new_kind_of_table_is_built(config: dict[str, Any], tmp_path: Path) -> None:
    settings: Any = MoreSettings.model_validate(config).tables["fast"]
    write_json(tmp_path / "cost.json", COST)
    labels = Labels(arms={"fo": "First"})
    make_table("fast", settings, labels, [tmp_path / "cost.json"], str(tmp_path / "fast"))
    assert (tmp_path / "fast.csv").read_text() == "seconds\n"
    assert "First: 1.5" in (tmp_path / "fast.md").read_text()


@pytest.mark.usefixtures("_modules")
def test_a_new_kind_of_figure_is_drawn(config: dict[str, Any], tmp_path: Path) -> None:
    settings: Any = MoreSettings.model_validate(config).figures["drawn"]
    write_json(tmp_path / "history.json", HISTORY)
    path = tmp_path / "history.json"
    make_figure("drawn", settings, Labels(), [path], str(tmp_path / "drawn"), meaningless=False)
    assert (tmp_path / "drawn.svg").read_text() == "Line 1"


def test_a_kind_that_is_in_no_union_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds"):
        TypeAdapter(TableSettings).validate_python({"kind": "seconds", "title": "T", "arm": "fo"})


COST = {
    "model": "m",
    "arm": "fo",
    "stage": "first_order",
    "steps": 2,
    "resumed": False,
    "wall_s": 1.5,
    "peak_memory_bytes": 1,
    "memory_kind": "k",
    "device": "d",
    "forward_passes": 2.0,
}
STEP = {"step": 0, "loss": 1.0, "tokens": 3, "learning_rate": 0.1, "gradient_norm": 1.0}
HISTORY = {"model": "m", "arm": "fo", "seed": 0, "steps": [STEP]}
