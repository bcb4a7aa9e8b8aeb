"""Manifests: what made an artifact, and the hashes that tell whether it is still whole."""

from __future__ import annotations

import functools
import subprocess
from importlib import metadata
from pathlib import Path

from holdfast import __version__
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, sha256, write_json
from holdfast.files.project import project_root

SUFFIX = ".manifest.json"
PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "llmcompressor",
    "compressed-tensors",
    "lm_eval",
    "numpy",
    "scipy",
    "statsmodels",
    "snakemake",
)


def manifest_path(artifact: str | Path) -> Path:
    """Return where the manifest of ``artifact`` lies: beside it."""
    artifact = Path(artifact)
    return artifact.with_name(f"{artifact.name}{SUFFIX}")


@functools.cache
def versions() -> dict[str, str]:
    """Return the installed versions of the packages that numbers depend on."""
    installed = {"holdfast": __version__}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


@functools.cache
def commit() -> str | None:
    """Return the commit of the checkout, with ``+`` for local changes; None outside git."""
    here = project_root()
    if not (here / ".git").exists():  # an installed wheel may lie in somebody else's repository
        return None
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def recorded_hashes(path: str | Path) -> set[str]:
    """Return the hashes of ``path`` that the manifests beside it recorded.

    There is one, or none; more when jobs that were grouped otherwise once made it too.

    Raises:
        HoldfastError: a file of that name is torn, or no manifest.
    """
    path = Path(path)
    manifests = sorted(path.parent.glob(f"*{SUFFIX}"))
    return {outputs[path.name] for outputs in map(_outputs, manifests) if path.name in outputs}


def artifact_hash(path: str | Path) -> str:
    """Return the hash of ``path``: from its manifest where it has one, else computed."""
    recorded = recorded_hashes(path)
    return recorded.pop() if len(recorded) == 1 else sha256(path)


def write_manifest(
    outputs: list[str], inputs: list[str], rule: str, wildcards: dict[str, str], settings: object
) -> None:
    """Write what made a job's outputs: in each folder, beside the first of them."""
    for path, manifest in _manifests(outputs, inputs, rule, wildcards, settings).items():
        write_json(path, manifest)


def is_made(
    outputs: list[str], inputs: list[str], rule: str, wildcards: dict[str, str], settings: object
) -> bool:
    """Return whether all outputs are there, whole, and made by this very job."""
    if not all(Path(output).exists() for output in outputs):
        return False
    manifests = _manifests(outputs, inputs, rule, wildcards, settings)
    return all(path.exists() and read_json(path) == made for path, made in manifests.items())


def _manifests(
    outputs: list[str], inputs: list[str], rule: str, wildcards: dict[str, str], settings: object
) -> dict[Path, dict[str, object]]:
    made = {
        "rule": rule,
        "wildcards": wildcards,
        "settings": settings,
        "versions": versions(),
        "commit": commit(),
        "inputs": {
            path: artifact_hash(path) for path in sorted(set(inputs)) if Path(path).exists()
        },
    }
    folders: dict[Path, list[Path]] = {}
    for output in map(Path, outputs):
        folders.setdefault(output.parent, []).append(output)
    return {
        manifest_path(group[0]): made | {"outputs": {path.name: sha256(path) for path in group}}
        for group in folders.values()
    }


def verify(artifact: str | Path) -> bool:
    """Compare ``artifact`` with the hash its manifest recorded; without a manifest, return False.

    Raises:
        HoldfastError: the bytes differ, so a result built on it could not be trusted; or a
            manifest beside it is damaged itself.
    """
    expected = recorded_hashes(artifact)
    if expected and sha256(artifact) not in expected:
        raise HoldfastError(
            f"{artifact} does not have the hash that its manifest recorded: it was damaged or"
            " edited after it was made; delete it and run again"
        )
    return bool(expected)


def _outputs(manifest: Path) -> dict[str, str]:
    try:
        outputs: dict[str, str] = read_json(manifest)["outputs"]
        return dict(outputs)
    except (HoldfastError, LookupError, TypeError, ValueError):
        raise HoldfastError(
            f"{manifest} is torn or no manifest, so that damage to the files beside it cannot be"
            " told: delete it and them, and run again"
        ) from None
