"""``python -m benchmarks``: measure in fresh processes and write ``results/<device>.md``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.measure import Result
from benchmarks.models import SHAPES
from benchmarks.report import ROOT, report, slug
from benchmarks.worker import GROUPS

RESULTS = ROOT / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report; a run of all rows at full size is also stored."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds a row, half as many in the two long ones"
    )
    parser.add_argument("--rows", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--quick", action="store_true", help="a tiny model: is all in order?")
    arguments = parser.parse_args(argv)
    size = "llama-3-8b" if arguments.device == "cuda" else "small"
    shape = "tiny" if arguments.quick else size
    sections = {}
    for threads in arguments.threads if arguments.device == "cpu" else arguments.threads[-1:]:
        heading = f"{threads} thread{'s' if threads > 1 else ''}"
        print(f"{arguments.device}, {heading}:", flush=True)
        sections[heading] = _elsewhere(arguments, shape, threads)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    page = report(sections, device, str(SHAPES[shape]))
    print(f"\n{page}")
    if not arguments.quick and arguments.rows == list(GROUPS):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{slug(device)}.md").write_text(page, encoding="utf-8")


def _elsewhere(arguments: argparse.Namespace, shape: str, threads: int) -> list[Result]:
    """Measure in a process of its own: thread pools and freed memory are then nobody else's."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "results.json"
        command = [sys.executable, "-m", "benchmarks.worker", "--shape", shape]
        command += ["--device", arguments.device, "--threads", str(threads), "--into", str(into)]
        command += ["--rounds", str(arguments.rounds), "--rows", *arguments.rows]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, cwd=ROOT, env=environment)  # noqa: S603
        return [Result(**entry) for entry in json.loads(into.read_text())]


if __name__ == "__main__":
    main()
