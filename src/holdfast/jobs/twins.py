"""Work that was done on another arm already: equal weights under equal settings say the same.

Two arms may be one: two ways to choose layers that choose the same, for one. What a job makes of an
arm's weights is then copied from the other arm's folder, if that is finished: its manifest names
the settings and the hash of every input.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.files.atomic import SNAKEMAKE_TIMESTAMP, atomic_dir, atomic_file, read_json, sha256
from holdfast.files.manifest import SUFFIX, artifact_hash, versions


def copy_of_twin(
    outputs: Sequence[str],
    inputs: Sequence[str],
    rule: str,
    wildcards: dict[str, str],
    settings: object,
) -> str | None:
    """Copy a job's outputs from another arm of the same model and seed; return that arm.

    None where no other arm's finished job had the same rule, settings, package versions and input
    hashes, or where its files are not whole any more.
    """
    known = sorted(artifact_hash(path) for path in set(inputs) if Path(path).exists())
    for arm in _others(outputs[0], wildcards["arm"]):
        sources = [_of_arm(path, wildcards["arm"], arm) for path in outputs]
        made = (rule, wildcards | {"arm": arm}, settings, known)
        with suppress(HoldfastError, LookupError, OSError, TypeError):
            if all(_is_made(source, *made) for source in sources):
                for source, output in zip(sources, outputs, strict=True):
                    _copy(source, Path(output))
                return arm
    return None


def _others(output: str, arm: str) -> Iterator[str]:
    """Yield the arms that have a folder beside that of ``arm``, in the order of their names."""
    parts = Path(output).parts
    folder = Path(*parts[: _place(parts, arm)])
    yield from sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != arm)


def _of_arm(path: str, arm: str, other: str) -> Path:
    parts = list(Path(path).parts)
    parts[_place(parts, arm)] = other
    return Path(*parts)


def _place(parts: Sequence[str], arm: str) -> int:
    """Return which part of a path is the arm: the one before its training seed."""
    places = [n for n, part in enumerate(parts[:-1]) if part == arm]
    return next(n for n in places if parts[n + 1].startswith("seed"))


def _is_made(
    output: Path, rule: str, wildcards: dict[str, str], settings: object, inputs: list[str]
) -> bool:
    """Return whether an output is whole, and made by a job that is the same but for its arm."""
    if not output.exists():
        return False
    for path in output.parent.glob(f"*{SUFFIX}"):
        manifest = read_json(path)
        if output.name in manifest["outputs"]:
            return (
                manifest["rule"] == rule
                and manifest["wildcards"] == wildcards
                and manifest["settings"] == settings
                and manifest["versions"] == versions()
                and sorted(manifest["inputs"].values()) == inputs
                and manifest["outputs"][output.name] == sha256(output)
            )
    return False


def _copy(source: Path, output: Path) -> None:
    """Copy a file; of a folder, link the files where the file system can."""
    if source.is_dir():
        with atomic_dir(output) as made:
            ignored = shutil.ignore_patterns(SNAKEMAKE_TIMESTAMP)
            shutil.copytree(source, made, copy_function=_link, ignore=ignored, dirs_exist_ok=True)
    else:
        with atomic_file(output) as temporary:
            shutil.copyfile(source, temporary)


def _link(source: str, copy: str) -> None:
    try:
        os.link(source, copy)
    except OSError:
        shutil.copy2(source, copy)
