"""Write the lock files and environments from what is installed beside this interpreter.

Without arguments: all but the environment of GPTQModel, which needs another torch. With
``<environment> <requirement>...``: that environment alone.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
NOT_PINNED = {"pip", "setuptools", "wheel"}
BUILD = ("nvidia-", "cuda-", "triton")  # what torch's build for CUDA pins itself
RESULTS = ("matplotlib", "numpy", "pandas", "pydantic", "pyyaml", "scipy", "statsmodels")
ENVIRONMENT = """\
# {what}
# Exact pins, written by `make lock`.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python>=3.11,<3.14
  - pip
  - pip:
"""


ENVIRONMENTS = {
    "model": "Rules that load a language model.",
    "results": "Rules that count, tabulate and draw.",
    "gptqmodel": "The rule that quantizes with GPTQModel, which needs a newer torch.",
}


def pins(requirements: list[str]) -> dict[str, str]:
    """Return ``name==version`` by normalised name, for requirements and all they need."""
    found: dict[str, str] = {}
    visited: set[str] = set()
    waiting = list(requirements)
    while waiting:
        text = waiting.pop()
        requirement = Requirement(text)
        extras = requirement.extras | {""}
        identity = f"{_normal(requirement.name)}[{','.join(sorted(requirement.extras))}]"
        if identity in visited:
            continue
        visited.add(identity)
        distribution = metadata.distribution(requirement.name)
        version = distribution.version.split("+")[0]
        found[_normal(requirement.name)] = f"{distribution.metadata['Name']}=={version}"
        for needed in map(Requirement, distribution.requires or []):
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(str(needed))
    return {
        name: pin
        for name, pin in found.items()
        if name not in NOT_PINNED and not name.startswith(BUILD)
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _lines(found: dict[str, str], prefix: str = "") -> str:
    return "".join(f"{prefix}{pin}\n" for pin in sorted(found.values(), key=str.lower))


def main() -> None:
    """Write requirements.lock, requirements-dev.lock and envs/*.yaml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    run = pins([*project["dependencies"], *extras["pipeline"]])
    dev = {name: pin for name, pin in pins(extras["dev"]).items() if name not in run}
    (ROOT / "requirements.lock").write_text(
        "# Exact pins of all that a run needs, made by `make lock`. torch is named without its\n"
        "# build, so that a CUDA machine gets its own.\n" + _lines(run)
    )
    (ROOT / "requirements-dev.lock").write_text(
        "# Exact pins of what the checks and tests need besides, made by `make lock`.\n"
        + _lines(dev)
    )
    write_environment("model", run)
    write_environment("results", pins(list(RESULTS)))


def write_environment(name: str, chosen: dict[str, str]) -> None:
    """Write envs/<name>.yaml."""
    text = ENVIRONMENT.format(what=ENVIRONMENTS[name]) + _lines(chosen, "      - ")
    (ROOT / "envs" / f"{name}.yaml").write_text(text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write_environment(sys.argv[1], pins(sys.argv[2:]))
    else:
        main()
