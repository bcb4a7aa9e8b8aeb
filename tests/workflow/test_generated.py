"""Files that are made from the settings' types, the modules or the lock are current."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
import yaml

import holdfast
from holdfast.config import document
from places import ROOT
from tools import architecture


def test_the_schema_is_current() -> None:
    assert document.SCHEMA.read_text() == document.schema(), "run `make docs`"


def test_the_settings_page_is_current() -> None:
    assert document.README.read_text() == document.readme(), "run `make docs`"


def test_the_architecture_page_is_current() -> None:
    text = architecture.PAGE.read_text()
    assert architecture.page(text) == text, "run `make docs`"


def test_the_architecture_page_lists_every_module_and_no_other() -> None:
    listed: list[str] = []
    for block in architecture.BLOCK.finditer(architecture.PAGE.read_text()):
        if block["room"]:
            names = re.findall(r"^\| `(\S+\.py)` \|", block["body"], flags=re.MULTILINE)
            listed += [(architecture.PACKAGE / block["room"] / name).as_posix() for name in names]
    modules = architecture.PACKAGE.rglob("*.py")
    assert sorted(listed) == sorted(m.as_posix() for m in modules if m.name != "__init__.py")


def test_a_room_without_a_place_is_told() -> None:
    text = architecture.PAGE.read_text().replace("<!-- files: judges -->", "<!-- files: juges -->")
    with pytest.raises(SystemExit, match=r"<!-- files: judges -->.*; there is no room 'juges'"):
        architecture.page(text)


def test_every_setting_is_explained() -> None:
    for line in document.readme().splitlines():
        if line.endswith(f"| {document.KIND_OF_ENTRY} |"):
            assert line.startswith(("| `kind`", "| `stage`")), line


def test_the_default_config_follows_the_schema() -> None:
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    jsonschema.validate(config, json.loads(document.schema()))


@pytest.mark.parametrize("name", ["model", "results"])
def test_environments_have_the_locks_pins(name: str) -> None:
    lock = set((ROOT / "requirements.lock").read_text().splitlines())
    environment = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    pins = environment["dependencies"][-1]["pip"]
    assert len(pins) > 10
    assert set(pins) <= lock


def test_the_environment_of_gptqmodel_pins_what_it_needs() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "gptqmodel.yaml").read_text())
    pins = [pin.split("==")[0].lower() for pin in environment["dependencies"][-1]["pip"]]
    assert {"gptqmodel", "torch", "transformers", "pydantic"} <= set(pins)
    assert not [pin for pin in pins if pin.startswith(("nvidia-", "cuda-"))]


def test_the_version_is_the_same_everywhere() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]  # read from the package
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", changes, flags=re.MULTILINE)
    assert holdfast.__version__ == citation["version"] == released[0]


def test_the_lock_meets_the_projects_ranges() -> None:
    from packaging.requirements import Requirement

    text = (ROOT / "pyproject.toml").read_text()
    lock = dict(
        re.fullmatch(r"([^=]+)==(.+)", line).groups()  # type: ignore[union-attr]
        for name in ("requirements.lock", "requirements-dev.lock")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith("#")
    )
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in lock.items()}
    import tomllib

    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["pipeline"], *extras["dev"]]:
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(pinned[name]), line
