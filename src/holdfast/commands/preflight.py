"""`holdfast preflight`: checks everything that a run needs, before it starts."""

from __future__ import annotations

import argparse
from pathlib import Path

from holdfast.files.project import default_config
from holdfast.text import tell

HELP = "check everything that a run needs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="laid over config/config.yaml"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print what the checks find; return 1 where one failed."""
    from holdfast.config.load import load_files
    from holdfast.preflight import preflight

    settings = load_files([default_config(), *arguments.configfile])
    return int(bool(preflight(settings, tell)))
