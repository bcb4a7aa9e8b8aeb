"""`holdfast adopt`: takes over results that were copied or moved without their dates."""

from __future__ import annotations

import argparse
from pathlib import Path

from holdfast.jobs.adopt import adopt
from holdfast.text import tell

HELP = "check copied results by their manifests, and date them so that nothing is made again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("results", type=Path, help="a run's folder, such as results/pocket")


def execute(arguments: argparse.Namespace) -> int:
    """Check and date the files of the run, and say so."""
    tell(adopt(arguments.results))
    return 0
