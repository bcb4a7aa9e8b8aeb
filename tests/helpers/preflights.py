"""Configs to check before a run, and what the check says of them."""

from __future__ import annotations

from typing import Any

import yaml

from fake_hub import COMMIT
from holdfast.config import load_settings
from holdfast.config.overlays import laid_over
from holdfast.preflight import preflight
from holdfast.settings.run import Settings
from places import ROOT

MODEL = {"hub": "some/llama", "revision": COMMIT, "layers": 3}
DEFAULT = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def settings(**overlay: Any) -> Settings:
    """The default config with something laid over it."""
    return load_settings(laid_over(DEFAULT, overlay))


def with_model(**changes: Any) -> Settings:
    """A config whose one model is the hub's, without the judges made from the embedded one."""
    return settings(**llama(**changes))


def llama(**changes: Any) -> dict[str, Any]:
    return {
        "models": {"pocket": None, "llama": MODEL | changes},
        "judges": {"harmbench": None, "llamaguard": None},
        "tables": dict.fromkeys(DEFAULT["tables"]),
        "figures": dict.fromkeys(DEFAULT["figures"]),
    }


def run(given: Settings) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return not preflight(given, lines.append), lines


def failures(given: Settings) -> list[str]:
    passed, lines = run(given)
    found = [line.strip() for line in lines if line.strip().startswith("✗")]
    assert passed == (not found)
    return found
