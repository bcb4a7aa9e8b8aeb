"""Fetching a data file: embedded, local, downloaded with a checksum, or pinned on the hub."""

from __future__ import annotations

import math
import re
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from holdfast.errors import HoldfastError
from holdfast.files.atomic import atomic_file, sha256
from holdfast.files.refusals import told
from holdfast.progress import track
from holdfast.settings.data import DataSource

ATTEMPTS = 3
CHUNK = 1 << 20
TIMEOUT_S = 60
WORTH_RETRYING = (408, 429)


def fetch(
    source: DataSource,
    data_root: str | Path,
    pocket_folder: str | Path,
    cache_folder: str | Path,
    setting: str = "data",
) -> Path:
    """Return the local path of ``source``'s file, downloading it where needed.

    ``setting`` is the path of the source in the config, for the error messages. Raises
    HoldfastError when the file cannot be had or does not have the digest ``source.sha256``.
    """
    if source.url:
        return _download(source, Path(cache_folder), setting)
    if source.hub:
        path = _from_hub(source, setting)
    elif source.pocket:
        path = _existing(Path(pocket_folder) / source.pocket, f"{setting}.pocket")
    else:
        path = _existing(source.local(data_root), f"{setting}.path")
    if source.sha256:
        _verify(path, source.sha256, str(path), setting)
    return path


def cached(source: DataSource, cache_folder: Path) -> Path:
    """Return where the download of ``source.url`` is kept."""
    name = unquote(urlsplit(str(source.url)).path).rpartition("/")[2]
    safe = re.sub(r"[^\w. -]", "_", name).lstrip(". ")[-100:]  # the suffix tells the format
    return cache_folder / str(source.sha256) / (safe or "download")


def without_secrets(url: str) -> str:
    """Return ``url`` without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _existing(path: Path, setting: str) -> Path:
    if not path.is_file():
        raise HoldfastError(
            f"{setting}: there is no file {path}; put it there or correct the setting"
        )
    return path


def _verify(path: Path, expected: str, origin: str, setting: str) -> None:
    digest = sha256(path)
    if digest != expected:
        raise HoldfastError(
            f"{setting}.sha256: {origin} has digest {digest}, the setting says {expected}; "
            "check where the file comes from, then correct the one that is wrong"
        )


def _download(source: DataSource, cache_folder: Path, setting: str) -> Path:
    url, expected = str(source.url), str(source.sha256)
    shown, target = without_secrets(url), cached(source, cache_folder)
    if target.is_file() and sha256(target) == expected:
        return target
    with atomic_file(target) as temporary:
        _transfer(url, shown, temporary, setting)
        _verify(temporary, expected, shown, setting)
    return target


def _transfer(url: str, shown: str, target: Path, setting: str) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # The settings allow https:// and file:// only.
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310
                _receive(response, shown, target)
                return
        except (OSError, HTTPException, ValueError) as error:
            if attempt == ATTEMPTS or _is_final(error) or url.startswith("file:"):
                raise HoldfastError(
                    f"{setting}.url: {shown} could not be downloaded ({_reason(error)}); "
                    "check the address and the network, or give the file as `path`"
                ) from None
            time.sleep(2.0**attempt)


def _receive(response: Any, shown: str, target: Path) -> None:
    size = int(response.headers.get("Content-Length") or 0)
    chunks = iter(lambda: response.read(CHUNK), b"")
    with told(target), target.open("wb") as file:
        for chunk in track(chunks, f"download {shown} (MiB)", math.ceil(size / CHUNK) or None):
            file.write(chunk)
        if file.tell() < size:
            raise ConnectionError("the connection broke off")


def _is_final(error: Exception) -> bool:
    if isinstance(error, ValueError):  # the address is none
        return True
    return isinstance(error, HTTPError) and error.code < 500 and error.code not in WORTH_RETRYING


def _reason(error: Exception) -> str:
    return f"HTTP {error.code}" if isinstance(error, HTTPError) else type(error).__name__


def _from_hub(source: DataSource, setting: str) -> Path:
    from holdfast.files.hub import fetch_file

    repository, file, revision = str(source.hub), str(source.file), str(source.revision)
    return fetch_file(repository, file, revision, f"{setting}.hub", "dataset")
