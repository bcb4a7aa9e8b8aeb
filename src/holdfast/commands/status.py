"""`holdfast status`: prints what a run finished, runs and failed at."""

from __future__ import annotations

import argparse
from pathlib import Path

from holdfast.jobs.status import status

HELP = "print what a run finished, runs and failed at"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("results", type=Path, help="a run's folder, such as results/pocket")


def execute(arguments: argparse.Namespace) -> int:
    """Print the state of the run."""
    print(status(arguments.results))
    return 0
