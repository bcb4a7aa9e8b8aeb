"""Results that were copied or moved: whole as before, with dates that tell a wrong story.

Snakemake makes anew what is older than its inputs. Manifests know better: they hold the hash of
everything that an artifact was made from.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.files.atomic import SNAKEMAKE_TIMESTAMP, members, read_json, sha256
from holdfast.files.manifest import SUFFIX
from holdfast.progress import track

NAMED = 5  # paths in a sentence


@dataclass(frozen=True)
class _Made:
    """What one job made: hashes of outputs and inputs by where they lie."""

    outputs: dict[Path, str]
    inputs: dict[Path, str]


def adopt(results: Path) -> str:
    """Check everything in a run's folder by its manifests, and date it alike; say what was done.

    What was made from other inputs than those that are here keeps its dates: Snakemake makes it
    again. Nothing may run in the folder meanwhile.

    Raises:
        HoldfastError: there are no manifests, or files are not those that they tell of.
    """
    jobs = list(_jobs(results))
    if not jobs:
        raise HoldfastError(
            f"{results} holds no results with manifests: give a run's folder, such as"
            " results/pocket"
        )
    known = _hashes(jobs)
    here = [path for path in known if os.path.lexists(path)]
    hashes = {path: sha256(path) for path in track(here, f"check {results} (artifacts)")}
    wrong = [path for path, digest in hashes.items() if digest not in known[path]]
    if wrong:
        raise HoldfastError(
            f"{_listed(wrong)}: not what the manifest beside recorded, so nothing in {results} was"
            " changed; copy again, or delete what is named here and adopt the rest"
        )
    current = {
        path
        for job in jobs
        if not any(_differs(*entry, hashes) for entry in job.inputs.items())
        for path, digest in job.outputs.items()
        if hashes.get(path) == digest
    }
    left, now = hashes.keys() - current, time.time()
    # Of a job's benchmark Snakemake asks for a date as of an output.
    for path in [*current, *members(results / "benchmarks")]:
        _date(path, now)
    told = f"{results}: {len(hashes)} artifacts are whole"
    if left:
        told += (
            f"; {_listed(sorted(left))} will be made again where a run asks for it, since the"
            " inputs are others now"
        )
    if not Path(".snakemake", "metadata").is_dir():
        told += (
            "; settings are taken to be those that it was made with, since the folder .snakemake,"
            " which keeps them, did not come along"
        )
    return f"{told}. `snakemake -n` says what is left to do"


def disagreeing(results: Path) -> int:
    """Return how many jobs' outputs are older than inputs that have not changed since.

    That is known without reading more than manifests and dates.
    """
    jobs = list(_jobs(results))
    known = _hashes(jobs)
    dates: dict[Path, float | None] = {}

    def date(path: Path) -> float | None:
        if path not in dates:
            dates[path] = _dated(path)
        return dates[path]

    def older(job: _Made) -> bool:
        made = [found for path in job.outputs if (found := date(path)) is not None]
        same = [path for path, digest in job.inputs.items() if known.get(path) == {digest}]
        read = [found for path in same if (found := date(path)) is not None]
        return bool(made and read) and max(read) > min(made)

    return sum(map(older, jobs))


def tell_of_dates(results: Path) -> None:
    """Say in one sentence where dates alone would have finished work done again."""
    count = disagreeing(results)
    if count:
        print(
            f"holdfast: {count} finished job{'s' * (count > 1)} of {results} would be done again"
            " only because the dates of their files do not fit, as after a copy without dates;"
            f" `holdfast adopt {results}` checks the files and sets that right",
            file=sys.stderr,
            flush=True,
        )


def _jobs(results: Path) -> Iterator[_Made]:
    """Yield what the manifests of a run tell; a torn one tells nothing."""
    placed = functools.cache(functools.partial(_place, results))  # most inputs are those of many
    for path in members(results):
        if path.name.endswith(SUFFIX):
            try:
                manifest = read_json(path)
                outputs = {path.parent / name: h for name, h in manifest["outputs"].items()}
                inputs = {placed(name): h for name, h in manifest["inputs"].items()}
            except (HoldfastError, LookupError, TypeError, AttributeError):
                continue  # who reads the files beside it refuses it
            yield _Made(outputs, inputs)


def _place(results: Path, recorded: str) -> Path:
    """Return where an input lies now: within the results, wherever these are, or as it was named.

    Inputs are named from the working folder, or by the prefix of a module that the run was.
    """
    parts, home = Path(recorded).parts, Path(os.path.abspath(results)).parts[-2:]  # noqa: PTH100
    for start in range(len(parts) - 1):
        if parts[start : start + 2] == home:
            return results.joinpath(*parts[start + 2 :])
    return Path(recorded)


def _hashes(jobs: list[_Made]) -> dict[Path, set[str]]:
    """Return the recorded hashes of every output: jobs that were grouped otherwise record too."""
    known: dict[Path, set[str]] = {}
    for job in jobs:
        for path, digest in job.outputs.items():
            known.setdefault(path, set()).add(digest)
    return known


def _differs(path: Path, recorded: str, hashes: dict[Path, str]) -> bool:
    """Return whether an input is here, and another than the one that was read."""
    found = hashes.get(path) or (sha256(path) if path.exists() else recorded)
    return found != recorded


def _dated(path: Path) -> float | None:
    """Return the date that Snakemake compares; None for what is not there."""
    for place in (path / SNAKEMAKE_TIMESTAMP, path):
        try:
            return place.stat().st_mtime
        except OSError:
            continue
    return None


def _date(path: Path, now: float) -> None:
    if path.is_dir():
        (path / SNAKEMAKE_TIMESTAMP).touch()
        os.utime(path / SNAKEMAKE_TIMESTAMP, (now, now))
    else:
        os.utime(path, (now, now))
    if path.is_symlink():
        os.utime(path, (now, now), follow_symlinks=False)


def _listed(paths: list[Path]) -> str:
    more = len(paths) - NAMED
    return ", ".join(map(str, paths[:NAMED])) + (f" and {more} more" if more > 0 else "")
