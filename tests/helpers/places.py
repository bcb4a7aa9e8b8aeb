"""Where the project's files lie."""

from __future__ import annotations

from pathlib import Path

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
ROOT = TESTS.parent
CONFIG = ROOT / "config" / "config.yaml"
