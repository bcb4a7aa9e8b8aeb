"""The frame of every pipeline job: its log, threads, GPUs, errors and manifest."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.checkpoints.hub import mask
from holdfast.checkpoints.manifest import verify, write_manifest
from holdfast.devices.lease import lease
from holdfast.errors import HoldfastError


@contextmanager
def job(snakemake: Any) -> Iterator[list[Any]]:
    """Run a script's body: output goes to the rule's log, a manifest is written at the end.

    Yields the settings that ``Plan.params`` put into ``params.settings``, without the stage's
    version. As many GPUs as the resource ``gpu`` says are leased until the process ends, and others
    are hidden. Inputs that differ from what their manifests recorded are refused. A
    ``HoldfastError`` ends the job with its one sentence, in the log and on the terminal.
    """
    _limit_threads(snakemake.threads)
    terminal = _redirect(Path(snakemake.log[0]))
    settings = json.loads(snakemake.params.get("settings", "[0]"))[1:]
    try:
        for path in snakemake.input:
            verify(path)
        lease(int(snakemake.resources.get("gpu", 0)))
        yield settings
        write_manifest(
            [str(path) for path in snakemake.output],
            [str(path) for path in snakemake.input],
            snakemake.rule,
            dict(snakemake.wildcards.items()),
            settings,
        )
    except HoldfastError as error:
        print(f"holdfast: {error}", file=sys.stderr, flush=True)
        os.write(terminal, f"holdfast: {error}\n".encode())
        sys.exit(1)
    except Exception:
        print(mask(traceback.format_exc()), file=sys.stderr, flush=True)
        os.write(terminal, f"{snakemake.rule} failed: see {snakemake.log[0]}\n".encode())
        sys.exit(1)


def _limit_threads(threads: int) -> None:
    """Give numerical libraries the job's share of cores; they read this when first imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TQDM_DISABLE"] = "1"  # libraries' bars fill a log; ours are plain lines there
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _redirect(log: Path) -> int:
    """Send both output streams of this process to ``log``; return the terminal's descriptor."""
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return terminal
