"""The model hub: files fetched patiently, verified once, and failures told without secrets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from holdfast.errors import HoldfastError
from holdfast.files.atomic import sha256, write_json
from holdfast.files.identity import remember
from holdfast.files.model_files import WEIGHTS, wanted
from holdfast.progress import track

T = TypeVar("T")
RepositoryKind = Literal["model", "dataset"]
WAITS_S = (2.0, 4.0, 8.0, 16.0)
REMAINS_S = 86400.0  # a download that wrote nothing for a day is dead
SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_SHA1 = re.compile(r"[0-9a-f]{40}")


def fetch_snapshot(repository: str, revision: str, setting: str, *, code: bool = False) -> Path:
    """Fetch a model's files at a commit into the hub's cache and return their folder.

    Files that are there and were verified are not asked for again, so this works without a
    network once it has succeeded. A kill loses the file under way; a broken connection goes on
    where it broke (huggingface_hub resumes within a process only).

    Args:
        repository: a model's id.
        revision: commit, 40 hexadecimal digits.
        setting: path of the model in the config, for the messages.
        code: also fetch the repository's Python files.

    Raises:
        HoldfastError: the hub does not give the files, or they are damaged.
    """
    import huggingface_hub

    with _told(f"{setting}: {repository} at {revision}", repository, "model"):
        if not huggingface_hub.is_offline_mode():
            # The first call stores the list of the repository's files beside them.
            _patiently(
                lambda: huggingface_hub.snapshot_download(
                    repository, revision=revision, allow_patterns=["config.json"]
                )
            )
        _remove_remains(repository)
        files = [name for name in _listing(repository, revision) if wanted(name, code=code)]
        folder = None
        for name in track(files, f"fetch {repository} (files)"):
            fetched = fetch_file(repository, name, revision, setting, "model")
            folder = fetched.parent
    if folder is None:
        raise HoldfastError(f"{setting}: {repository} at {revision} holds no model files")
    return folder


def fetch_file(
    repository: str, file: str, revision: str, setting: str, kind: RepositoryKind
) -> Path:
    """Fetch one file at a commit into the hub's cache, verify it once and return its path.

    Raises:
        HoldfastError: the hub does not give the file, or it arrives damaged twice.
    """
    import huggingface_hub

    def download(force: bool) -> Path:
        place = huggingface_hub.hf_hub_download(
            repository, file, revision=revision, repo_type=kind, force_download=force
        )
        return Path(place)

    with _told(f"{setting}: {repository}/{file} at {revision}", repository, kind):
        path = _patiently(lambda: download(False))
        if _whole(path):
            return path
        if not huggingface_hub.is_offline_mode():
            path = _patiently(lambda: download(True))
            if _whole(path):
                return path
    raise HoldfastError(
        f"{setting}: {file} of {repository} at {revision} does not have the hub's checksum in"
        f" {path.parent}: check that disk, and fetch again online"
    )


def cache_folder(repository: str, kind: RepositoryKind) -> Path:
    """Return the folder of a repository in the hub's cache, whether it is there or not."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)


def cached_snapshot(repository: str, revision: str) -> Path:
    """Return the folder of a model's files in the hub's cache, asking nothing of the network.

    Raises:
        HoldfastError: the cache does not have them.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json", revision=revision)
    if not isinstance(config, str) or not list(Path(config).parent.glob(WEIGHTS)):
        raise HoldfastError(
            f"{repository} at {revision} is no longer in the hub's cache {constants.HF_HUB_CACHE}:"
            " set HF_HOME to where it was, or delete the model's folder in results/ and run again"
        )
    return Path(config).parent


def advice(error: Exception, repository: str, kind: RepositoryKind) -> str:
    """Return what went wrong at the hub and what to do, from the error's type alone.

    The messages of these errors hold addresses and headers: nothing of them is passed on.
    """
    from huggingface_hub import errors

    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(cause, Exception):
        error = cause  # what happened when the hub was asked, not that the cache was no help
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repository}"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"is gated: accept its terms on {page} with your account, then log in with"
            " `hf auth login` (or set HF_TOKEN)"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no such revision: take a commit from {page}/commits/main"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"was not found: check `hub` against {page}, or log in if it is private"
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return (
            "is not whole in the local cache and the hub cannot be reached: fetch it once online,"
            " with HF_HUB_OFFLINE unset"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return f"does not exist: check the names on {page}/tree/main"
    if isinstance(error, errors.DisabledRepoError):
        return f"was disabled by the hub: see {page}"
    status = _status(error)
    if status in (401, 403):
        return f"is refused to you (HTTP {status}): log in again with `hf auth login`"
    if isinstance(error, OSError) and error.errno:
        return f"could not be stored: {os.strerror(error.errno)}"
    reason = f"HTTP {status}" if status else type(error).__name__
    return f"could not be fetched ({reason}): check the network and run again; what is there stays"


@contextmanager
def _told(what: str, repository: str, kind: RepositoryKind) -> Iterator[None]:
    """Turn the hub's failures into one sentence; keep its warnings, full of addresses, away."""
    import httpx
    from huggingface_hub import errors
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except (httpx.HTTPError, errors.XetDownloadError, OSError, ValueError) as error:
        raise HoldfastError(f"{what} {advice(error, repository, kind)}") from None
    finally:
        logging.set_verbosity(level)


def _patiently(action: Callable[[], T]) -> T:
    for wait in WAITS_S:
        try:
            return action()
        except Exception as error:
            if not _passes(error):
                raise
            reason = _status(error) or type(error).__name__
            print(f"the hub failed ({reason}); again in {wait:g} s", file=sys.stderr, flush=True)
            time.sleep(wait)
    return action()


def _passes(error: BaseException | None) -> bool:
    """Return whether trying again may help."""
    import httpx
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        return error.__cause__ is not None and _passes(error.__cause__)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return False
    if isinstance(error, errors.HfHubHTTPError):
        return (_status(error) or 500) in (408, 429) or (_status(error) or 500) >= 500
    cut_short = isinstance(error, OSError) and error.errno is None
    return cut_short or isinstance(error, httpx.TransportError | errors.XetDownloadError)


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def _listing(repository: str, revision: str) -> list[str]:
    """Return the names of a repository's files, small ones first.

    A cache that an older huggingface_hub filled holds no list: what is there counts.
    """
    import huggingface_hub
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    try:
        tree: list[Any] = huggingface_hub.get_cached_repo_tree(repository, revision=revision)
    except CachedRepoTreeNotFoundError:
        config = huggingface_hub.try_to_load_from_cache(
            repository, "config.json", revision=revision
        )
        if not isinstance(config, str):
            raise LocalEntryNotFoundError("config.json") from None
        return sorted(path.name for path in Path(config).parent.iterdir())
    return [file.path for file in sorted(tree, key=lambda file: (file.size, file.path))]


def _remove_remains(repository: str) -> None:
    """Remove what killed downloads left: gigabytes that huggingface_hub never takes up again."""
    for remains in (cache_folder(repository, "model") / "blobs").glob("*.incomplete"):
        with contextlib.suppress(OSError):
            if time.time() - remains.stat().st_mtime > REMAINS_S:
                remains.unlink()


def _whole(file: Path) -> bool:
    """Compare a file in the cache with its checksum, a large one once; remember that it was right.

    The cache's snapshots link to files that are named by the hub's checksum: SHA-256 for large
    files, git's own for small ones. huggingface_hub compares sizes only.
    """
    expected = file.readlink().name if file.is_symlink() else ""
    if GIT_SHA1.fullmatch(expected):
        return _git_sha1(file.read_bytes()) == expected
    if not SHA256.fullmatch(expected):
        return True
    record = _record(expected)
    stat = file.stat()
    seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with contextlib.suppress(OSError, ValueError):
        if json.loads(record.read_text(encoding="utf-8")) == seen:
            remember(file, expected)
            return True
    if sha256(file) != expected:
        return False
    remember(file, expected)
    with contextlib.suppress(OSError):  # a shared cache may be read-only: hash again next time
        write_json(record, seen)
    return True


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324


def _record(checksum: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "holdfast" / "verified" / f"{checksum}.json"
