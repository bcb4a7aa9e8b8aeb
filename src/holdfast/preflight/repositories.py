"""What the hub, or its cache when offline, says of a repository at a commit."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.checkpoints.shards import LocalFiles, Stored
from holdfast.errors import HoldfastError
from holdfast.files.hub import RepositoryKind, advice, cache_folder, wanted
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
    answer = _ask(name, revision, kind)
    if isinstance(answer, str):
        raise HoldfastError(answer)
    return answer


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise HoldfastError(f"{path} is not valid JSON; copy or download it again") from None
    return content if isinstance(content, dict) else {}


def folder_of(checkpoint: Where) -> Path:
    """Return the folder of a checkpoint's config.json, which is fetched from the hub.

    Raises:
        HoldfastError: it cannot be fetched.
    """
    if isinstance(checkpoint, Path):
        return checkpoint
    return _fetch(*checkpoint, "config.json").parent


class HubFiles:
    """The files of a model on the hub, of whose weights only the headers are fetched."""

    def __init__(self, name: str, revision: str) -> None:
        self._name = name
        self._revision = revision

    @property
    def where(self) -> str:
        """Name and commit."""
        return f"{self._name} at {self._revision[:12]}"

    @property
    def names(self) -> set[str]:
        """Names of the files that a run fetches."""
        return {file for file in names((self._name, self._revision)) if wanted(file)}

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file."""
        return small_file((self._name, self._revision), name)

    def header(self, name: str) -> dict[str, Stored]:
        """Return what a file of weights holds, from the cache if it is there."""
        cached = _in_cache(self._name, name, self._revision, "model")
        if cached:
            return LocalFiles(cached.parent).header(name)
        from huggingface_hub import HfApi
        from huggingface_hub.errors import SafetensorsParsingError

        what = f"{self._name}/{name} at {self._revision}"
        try:
            found = HfApi().parse_safetensors_file_metadata(
                self._name, name, revision=self._revision, timeout=TIMEOUT_S
            )
        except SafetensorsParsingError:
            raise HoldfastError(f"{what} is no file of weights; choose another revision") from None
        except Exception as error:  # whatever it is, the other checks go on
            raise HoldfastError(f"{what} {advice(error, self._name, 'model')}") from None
        return {
            tensor: Stored(part.dtype, tuple(part.shape)) for tensor, part in found.tensors.items()
        }

    def nonzero(self, name: str, tensors: Collection[str]) -> set[str]:
        """Return none: no values are fetched, and what they are is seen once the model is."""
        return set()


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
    cached = {str(path.relative_to(snapshot)): path for path in snapshot.rglob("*")}
    if not cached:
        raise LocalEntryNotFoundError(name)
    return {file: path.stat().st_size for file, path in cached.items() if path.is_file()}


def _in_cache(name: str, file: str, revision: str, kind: RepositoryKind) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, file, revision=revision, repo_type=kind)
    return Path(cached) if isinstance(cached, str) else None


def _fetch(name: str, revision: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download, utils

    utils.disable_progress_bars()  # for files of a few kB
    utils.logging.set_verbosity_error()  # its warnings hold addresses
    try:
        return Path(hf_hub_download(name, file, revision=revision, etag_timeout=TIMEOUT_S))
    except Exception as error:  # whatever it is, the other checks go on
        raise HoldfastError(f"{name}/{file} at {revision} {advice(error, name, 'model')}") from None
