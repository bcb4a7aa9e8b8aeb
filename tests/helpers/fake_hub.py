"""A model hub on this machine: the few endpoints that huggingface_hub asks, and their failures."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PLACE = re.compile(
    r"/(?P<api>api/)?(?:(?P<kind>models|datasets)/)?(?P<name>[^/]+/[^/]+)(?:/(?P<rest>.+))?"
)


@dataclass
class Repository:
    """Files at one commit; ``gated`` asks for the token ``hf_invited``."""

    files: dict[str, bytes]
    gated: bool = False


@dataclass
class FakeHub:
    """What is served, what was asked, and how often a request for a file fails first.

    ``failures``: by file, answers that come before the right one: a status, ``cut`` (the connection
    breaks in the middle), ``stall`` (the second half never comes) or ``flip`` (one byte is wrong).
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    failures: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    address: str = ""
    stalling: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, folder: Path, *, gated: bool = False) -> Repository:
        """Serve the files of a folder."""
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        self.repositories[name] = Repository(files, gated)
        return self.repositories[name]

    def downloads(self, file: str) -> list[dict[str, str]]:
        """Headers of every request for the contents of a file."""
        return [head for verb, path, head in self.asked if verb == "GET" and path.endswith(file)]


def large(name: str) -> bool:
    """Whether the hub keeps this file by its SHA-256 (LFS)."""
    return name.endswith((".safetensors", ".parquet", ".csv"))


def etag(name: str, body: bytes) -> str:
    """The checksum that the hub gives: SHA-256 of a large file, git's hash of a small one."""
    if large(name):
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()  # noqa: S324


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        place = PLACE.fullmatch(path)
        if place:  # other pages are the library's own statistics
            self.hub.asked.append((self.command, path, dict(self.headers)))
        if not place or place["name"] not in self.hub.repositories:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        repository = self.hub.repositories[place["name"]]
        rest = (place["rest"] or f"revision/{COMMIT}").split("/")
        invited = self.headers.get("Authorization") == "Bearer hf_invited"
        if repository.gated and not invited and rest[0] in ("resolve", "auth-check"):
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        if rest[0] == "auth-check":
            return self._json({})
        if rest[1] != COMMIT:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if rest[0] == "revision":
            return self._json(self._information(place["name"], repository))
        if rest[0] == "tree" and len(rest) > 2:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        if rest[0] == "tree":
            return self._json([self._entry(name, body) for name, body in repository.files.items()])
        return self._file(repository, "/".join(rest[2:]))

    def _entry(self, name: str, body: bytes) -> dict[str, Any]:
        entry = {"type": "file", "path": name, "size": len(body), "oid": etag("", body)}
        if large(name):
            entry["lfs"] = {"oid": etag(name, body), "size": len(body), "pointerSize": 130}
        return entry

    def _information(self, name: str, repository: Repository) -> dict[str, Any]:
        return {
            "id": name,
            "sha": COMMIT,
            "gated": "manual" if repository.gated else False,
            "siblings": [
                {"rfilename": file, "size": len(body), "blobId": etag("", body)}
                for file, body in repository.files.items()
            ],
        }

    def _file(self, repository: Repository, name: str) -> None:
        if name not in repository.files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        body = repository.files[name]
        headers = {"ETag": f'"{etag(name, body)}"', "X-Repo-Commit": COMMIT}
        failing = self.hub.failures.get(name)
        failure = failing.pop(0) if failing and self.command == "GET" else None
        if isinstance(failure, int):
            return self._send(failure, b"busy", {})
        start = 0
        if "Range" in self.headers:
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            body = body[: end + 1]
        if failure == "flip":
            body = bytes([body[0] ^ 1]) + body[1:]
        if failure == "stall":
            self.hub.stalling.set()
        if failure in ("cut", "stall"):
            return self._send(206 if start else 200, body[start:], headers, cut=True)
        return self._send(206 if start else 200, body[start:], headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            if self.hub.stalling.is_set():
                self.hub.closing.wait(60)
            self.close_connection = True


@contextmanager
def serving() -> Iterator[FakeHub]:
    """Serve a hub on a free port."""
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            hub.closing.set()
            server.shutdown()
            thread.join()


def use(hub: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub in this process ask ``hub`` and cache under ``home``."""
    from huggingface_hub import constants

    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(home / "assets"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def environment(hub: FakeHub, home: Path) -> dict[str, str]:
    """The variables that make another process ask ``hub``."""
    return {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
