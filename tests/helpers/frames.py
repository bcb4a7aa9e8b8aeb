"""A job in a process of its own, without Snakemake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from holdfast.files.atomic import write_json

FRAME = """
import sys
from pathlib import Path
from types import SimpleNamespace
from holdfast.jobs.frame import job

folder = Path(sys.argv[1])
snakemake = SimpleNamespace(
    threads=1, rule="evaluate", wildcards={"arm": "fo"}, params={"settings": '[3, {"a": 1}]'},
    log=[str(folder / "logs" / "job.log")], input=[str(folder / "in.json")],
    output=[str(folder / "out.json")], resources={"gpu": 0},
)
with job(snakemake) as (settings,):
    from holdfast.errors import HoldfastError
    print("to the log")
    {body}
"""


DONE = "(folder / 'out.json').write_text(str(settings['a']))"


def run(folder: Path, body: str = DONE) -> subprocess.CompletedProcess[str]:
    code = FRAME.replace("{body}", body)
    write_json(folder / "in.json", {"x": 1})
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
