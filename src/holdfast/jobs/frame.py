"""The frame of every pipeline job: its log, record, threads, GPUs, errors and manifest."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.files.manifest import is_made, verify, write_manifest
from holdfast.files.refusals import refusal
from holdfast.jobs.dates import settle
from holdfast.jobs.lease import lease
from holdfast.jobs.lock import locked
from holdfast.jobs.record import job_name, recorded
from holdfast.jobs.twins import copy_of_twin
from holdfast.progress import follow
from holdfast.text import mask


@contextmanager
def job(snakemake: Any) -> Iterator[list[Any]]:
    """Run a script's body: output goes to the rule's log, a manifest is written at the end.

    Yields the settings that ``Plan.params`` put into ``params.settings``, without the stage's
    version. As many GPUs as the resource ``gpu`` says are leased until the process ends, and others
    are hidden. Inputs that differ from what their manifests recorded are refused. A
    ``HoldfastError`` ends the job with its one sentence, in the log and on the terminal, and so
    does what a file system refuses. A job that another process is still at waits for it, and ends
    where that one has done all. Where there is a terminal, progress is shown there too; `holdfast
    status` finds a record of the job.
    """
    _limit_threads(snakemake.threads)
    terminal, log = os.dup(2), Path(snakemake.log[0])
    settings = json.loads(snakemake.params.get("settings", "[0]"))[1:]
    inputs, outputs = ([str(path) for path in of] for of in (snakemake.input, snakemake.output))
    made = (outputs, inputs, snakemake.rule, dict(snakemake.wildcards.items()), settings)
    try:
        with locked(log.with_name(f".{log.name}.lock"), partial(_say, terminal)) as waited:
            _redirect(log)
            if os.isatty(terminal):
                follow(terminal, job_name(snakemake.rule, dict(snakemake.wildcards.items())))
            with recorded(log):
                for path in inputs:
                    if verify(path):
                        settle(path)
                if waited and is_made(*made):
                    sys.exit(0)
                if snakemake.params.get("twins") and (arm := copy_of_twin(*made)):
                    _log(f"copied from {arm}, whose weights are the same")
                    write_manifest(*made)
                    sys.exit(0)
                lease(int(snakemake.resources.get("gpu", 0)))
                yield settings
                write_manifest(*made)
    except HoldfastError as error:
        _say(terminal, str(error))
        sys.exit(1)
    except Exception as error:
        if refused := refusal(error, outputs[0]):
            _say(terminal, str(refused))
        else:
            _log(mask(traceback.format_exc()))
            os.write(terminal, f"{snakemake.rule} failed: see {snakemake.log[0]}\n".encode())
        sys.exit(1)


def _limit_threads(threads: int) -> None:
    """Give numerical libraries the job's share of cores; they read this when first imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TQDM_DISABLE"] = "1"  # libraries' bars fill a log; ours are plain lines there
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _say(terminal: int, sentence: str) -> None:
    """Put a sentence on the terminal, and into the log where there is one."""
    os.write(terminal, f"holdfast: {sentence}\n".encode())
    if not os.path.sameopenfile(terminal, 2):
        _log(f"holdfast: {sentence}")


def _log(text: str) -> None:
    with suppress(OSError):  # a full disk has no room for it
        print(text, file=sys.stderr, flush=True)


def _redirect(log: Path) -> None:
    """Send both output streams of this process to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
