"""What the hub, or its cache when offline, says of a repository at a commit."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.files.hub import RepositoryKind, advice, cache_folder
from holdfast.preflight.sources import Where

TIMEOUT_S = 10


@dataclass(frozen=True)
class Repository:
    """Files of a repository at a commit, with their sizes in bytes; ``missing`` ones to fetch."""

    files: dict[str, int]
    missing: frozenset[str]


def offline() -> bool:
    """Return whether the hub must not be asked (``HF_HUB_OFFLINE``)."""
    import huggingface_hub

    return huggingface_hub.is_offline_mode()


def repository(name: str, revision: str, kind: RepositoryKind) -> Repository:
    """Return what a repository holds; its licence gate must be open to the user.

    Raises:
        HoldfastError: it is not there, or not for this user: ``name at revision`` and the advice.
    """
    found = _ask(name, revision, kind)
    if isinstance(found, str):
        raise HoldfastError(found)
    return found


def given(name: str, revision: str, kind: RepositoryKind) -> bool:
    """Return whether a repository is there, and for this user."""
    return isinstance(_ask(name, revision, kind), Repository)


@functools.cache
def _ask(name: str, revision: str, kind: RepositoryKind) -> Repository | str:
    """Ask once in a process; return the failure's sentence, too."""
    try:
        files = _cached_files(name, revision, kind) if offline() else _files(name, revision, kind)
    except Exception as error:  # whatever it is, the other checks go on
        return f"{name} at {revision} {advice(error, name, kind)}"
    missing = frozenset(file for file in files if _in_cache(name, file, revision, kind) is None)
    return Repository(files, missing)


def small_file(checkpoint: Where, file: str) -> dict[str, Any]:
    """Read a JSON file of a folder or of a hub model ``(name, revision)``; ``{}`` when absent.

    Raises:
        HoldfastError: it cannot be fetched, or is not JSON.
    """
    path = _small(checkpoint, file)
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise HoldfastError(f"{path} is not valid JSON; copy or download it again") from None
    return found if isinstance(found, dict) else {}


def small_text(checkpoint: Where, file: str) -> str:
    """Read a text of a folder or of a hub model; empty when absent.

    Raises:
        HoldfastError: it cannot be fetched, or is not text.
    """
    path = _small(checkpoint, file)
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except ValueError:
        raise HoldfastError(f"{path} is not text in UTF-8; copy or download it again") from None


def names(checkpoint: Where) -> set[str]:
    """Return the names of a checkpoint's files."""
    if isinstance(checkpoint, Path):
        return {path.name for path in checkpoint.iterdir()} if checkpoint.is_dir() else set()
    return set(repository(*checkpoint, "model").files)


def _small(checkpoint: Where, file: str) -> Path | None:
    if isinstance(checkpoint, Path):
        path = checkpoint / file
    else:
        name, revision = checkpoint
        if file not in repository(name, revision, "model").files:
            return None
        path = _fetch(name, revision, file)
    return path if path.is_file() else None


def _files(name: str, revision: str, kind: RepositoryKind) -> dict[str, int]:
    from huggingface_hub import HfApi

    api = HfApi()
    ask = api.model_info if kind == "model" else api.dataset_info
    information = ask(name, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    if information.gated:
        api.auth_check(name, repo_type=kind)
    return {file.rfilename: file.size or 0 for file in information.siblings or []}


def _cached_files(name: str, revision: str, kind: RepositoryKind) -> dict[str, int]:
    from huggingface_hub.errors import LocalEntryNotFoundError

    snapshot = cache_folder(name, kind) / "snapshots" / revision
    found = {str(path.relative_to(snapshot)): path for path in snapshot.rglob("*")}
    if not found:
        raise LocalEntryNotFoundError(name)
    return {file: path.stat().st_size for file, path in found.items() if path.is_file()}


def _in_cache(name: str, file: str, revision: str, kind: RepositoryKind) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, file, revision=revision, repo_type=kind)
    return Path(found) if isinstance(found, str) else None


def _fetch(name: str, revision: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download, utils

    utils.disable_progress_bars()  # for files of a few kB
    utils.logging.set_verbosity_error()  # its warnings hold addresses
    try:
        return Path(hf_hub_download(name, file, revision=revision, etag_timeout=TIMEOUT_S))
    except Exception as error:  # whatever it is, the other checks go on
        raise HoldfastError(f"{name}/{file} at {revision} {advice(error, name, 'model')}") from None
