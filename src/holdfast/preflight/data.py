"""Whether every data file is there and holds what its step reads."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from holdfast.config import HoldfastError, Settings
from holdfast.data.prepare import Kind, load
from holdfast.data.source import cached, without_secrets
from holdfast.preflight import sources
from holdfast.preflight.finding import Finding, bad, good, unseen
from holdfast.settings.data import Rows

TIMEOUT_S = 10
NO_HEAD = (403, 405, 501)  # servers that give a file but not its head


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each data file that is not the hub's."""
    cache = Path("results") / settings.run / "data" / "cache"
    for path, (kind, rows) in sources.data(settings).items():
        source = rows.source
        if source.pocket:
            yield good(f"{path}: made by the run (embedded {source.pocket})")
        elif source.path or (source.url and cached(source, cache).is_file()):
            yield _read(path, kind, rows, settings.data_root, cache)
        elif source.url and source.sha256 and not source.sha256.strip("0"):
            shown = without_secrets(source.url)
            yield bad(f"{path}.sha256: only zeros; check where {shown} comes from, and pin it")
        elif source.url:
            yield _reachable(f"{path}.url", source.url)


def _read(path: str, kind: Kind, rows: Rows, data_root: str, cache: Path) -> Finding:
    """Read what the run's step reads, and throw it away."""
    try:
        load(
            kind,
            rows.source,
            data_root=data_root,
            pocket_folder="",  # nothing of the embedded world is read here
            cache_folder=cache,
            limit=rows.limit,
            exclude_tags=getattr(rows, "exclude_tags", ()),
            setting=path,
        )
    except HoldfastError as error:
        return bad(str(error))
    pinned = ", its checksum is right" if rows.source.sha256 else ""
    return good(f"{path}: {rows.source.path or 'downloaded'} holds {kind}{pinned}")


def _reachable(path: str, url: str) -> Finding:
    shown = without_secrets(url)
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            return good(f"{path}: {shown} answers")
    except HTTPError as error:
        if error.code in NO_HEAD:
            return unseen(f"{path}: {shown} does not say whether it is there (HTTP {error.code})")
        reason = f"HTTP {error.code}"
    except (OSError, HTTPException) as error:
        reason = type(error).__name__
    return bad(
        f"{path}: {shown} cannot be reached ({reason}); check the address and the network, or give"
        " the file as `path`"
    )
