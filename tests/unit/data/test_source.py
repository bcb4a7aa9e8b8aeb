"""Fetching: every source, checksums, retries, and errors that tell no secret."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import URLError

import huggingface_hub
import pytest
from huggingface_hub import errors
from pydantic import ValidationError

import fake_hub
from holdfast.data import source as module
from holdfast.data.source import fetch
from holdfast.errors import HoldfastError
from holdfast.settings.data import DataSource

BODY = b"goal,target\nbake bread,Sure\n"
DIGEST = hashlib.sha256(BODY).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _fetch(settings: DataSource, folder: Path) -> Path:
    return fetch(settings, folder / "root", folder / "pocket", folder / "cache", "data.behaviors")


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(BODY)
    return path


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "exactly one of"),
        ({"path": "a.csv", "pocket": "a.csv"}, "path"),
        ({"url": "https://example.org/a.csv"}, "needs `sha256`"),
        ({"url": "http://example.org/a.csv", "sha256": DIGEST}, "pattern"),
        ({"url": "https://me:hunter2@example.org/a.csv", "sha256": DIGEST}, "holds a password"),
        ({"url": "https://example.org/a.csv?access_token=x", "sha256": DIGEST}, "or token"),
        ({"hub": "some/set", "file": "a.csv"}, "needs `revision`"),
        ({"hub": "some/set", "revision": "main", "file": "a.csv"}, "pattern"),
        ({"hub": "some/set", "revision": COMMIT}, "`file`"),
        ({"path": "a.csv", "revision": COMMIT}, "belong to `hub`"),
        ({"path": "a.csv", "sha256": "abc"}, "pattern"),
        ({"pocket": "../a.csv"}, "pattern"),
        ({"path": "a.csv", "splitt": "x"}, "Extra inputs"),
    ],
)
def test_unpinned_and_ambiguous_sources_are_refused(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        DataSource.model_validate(given)


def test_local_and_embedded_files_are_found_in_their_folders(tmp_path: Path) -> None:
    local = _write(tmp_path / "root" / "sub" / "a.csv")
    embedded = _write(tmp_path / "pocket" / "a.csv")
    assert _fetch(DataSource(path="sub/a.csv"), tmp_path) == local
    assert _fetch(DataSource(path=str(local)), tmp_path) == local
    assert _fetch(DataSource(pocket="a.csv", sha256=DIGEST), tmp_path) == embedded


def test_missing_file_names_path_and_setting(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError) as caught:
        _fetch(DataSource(path="sub/a.csv"), tmp_path)
    assert str(tmp_path / "root" / "sub" / "a.csv") in str(caught.value)
    assert "data.behaviors.path" in str(caught.value)


def test_wrong_local_checksum_shows_both_digests(tmp_path: Path) -> None:
    _write(tmp_path / "root" / "a.csv")
    with pytest.raises(HoldfastError) as caught:
        _fetch(DataSource(path="a.csv", sha256="0" * 64), tmp_path)
    assert DIGEST in str(caught.value)
    assert "0" * 64 in str(caught.value)


def test_download_is_cached_and_a_damaged_copy_is_fetched_again(tmp_path: Path) -> None:
    original = _write(tmp_path / "served" / "a b.csv")
    settings = DataSource(url=original.as_uri(), sha256=DIGEST)
    found = _fetch(settings, tmp_path)
    assert found.name == "a b.csv"
    found.write_bytes(b"damaged")
    assert _fetch(settings, tmp_path).read_bytes() == BODY
    original.unlink()
    assert _fetch(settings, tmp_path).read_bytes() == BODY  # no second download


def test_wrong_download_is_not_kept(tmp_path: Path) -> None:
    original = _write(tmp_path / "served" / "a.csv")
    absent = DataSource(url=f"{original.as_uri()}.absent", sha256=DIGEST)
    with pytest.raises(HoldfastError, match=r"data\.behaviors\.url"):
        _fetch(absent, tmp_path)
    with pytest.raises(HoldfastError) as caught:
        _fetch(DataSource(url=original.as_uri(), sha256="f" * 64), tmp_path)
    assert DIGEST in str(caught.value)
    assert "f" * 64 in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


class _Flaky(BaseHTTPRequestHandler):
    """Answers 503, then half of the body, then all of it; an absent path is 404."""

    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        status = 404 if "absent" in self.path else 503 if len(self.asked) == 1 else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:7] if len(self.asked) == 2 else BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    _Flaky.asked = []
    with HTTPServer(("127.0.0.1", 0), _Flaky) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def _served(address: str) -> DataSource:
    # Settings allow https only; a certificate is beyond a unit test.
    return DataSource.model_construct(url=address, sha256=DIGEST)


def test_a_busy_server_and_a_broken_connection_are_tried_again(tmp_path: Path, server: str) -> None:
    assert _fetch(_served(f"{server}/a.csv"), tmp_path).read_bytes() == BODY
    assert len(_Flaky.asked) == 3


def test_an_absent_page_fails_at_once_without_the_query(tmp_path: Path, server: str) -> None:
    with pytest.raises(HoldfastError, match="HTTP 404") as caught:
        _fetch(_served(f"{server}/absent.csv?token=hunter2"), tmp_path)
    assert len(_Flaky.asked) == 1
    assert "hunter2" not in str(caught.value)


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("name resolution failed")

    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(module.urllib.request, "urlopen", unreachable)
    with pytest.raises(HoldfastError, match="or give the file as `path`") as caught:
        _fetch(_served("https://user:hunter2@example.org/a.csv"), tmp_path)
    assert "hunter2" not in str(caught.value)


def test_a_hub_file_is_fetched_at_its_commit_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "repository" / "a.csv")
    settings = DataSource(hub="some/set", revision=COMMIT, file="a.csv", sha256=DIGEST)
    wrong = settings.model_copy(update={"sha256": "f" * 64})
    with fake_hub.serving() as hub:
        fake_hub.use(hub, tmp_path / "home", monkeypatch)
        hub.add("some/set", tmp_path / "repository")
        assert _fetch(settings, tmp_path).read_bytes() == BODY
        paths = [request[1] for request in hub.asked]
        assert f"/datasets/some/set/resolve/{COMMIT}/a.csv" in paths
        with pytest.raises(HoldfastError, match=r"data\.behaviors\.sha256"):
            _fetch(wrong, tmp_path)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (errors.GatedRepoError, "accept its terms on https://huggingface.co/datasets/some/set "),
        (errors.RepositoryNotFoundError, "check `hub`"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.RemoteEntryNotFoundError, "check the names"),
        (errors.LocalEntryNotFoundError, "fetch it once online"),
        (errors.HfHubHTTPError, "run again"),
    ],
)
def test_hub_failures_say_what_to_do_and_keep_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], advice: str
) -> None:
    class Failure(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            Exception.__init__(self, "Authorization: Bearer hf_hunter2")

    def download(*_: object, **__: object) -> str:
        raise Failure

    monkeypatch.setattr("holdfast.files.hub.time.sleep", lambda seconds: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    settings = DataSource(hub="some/set", revision=COMMIT, file="a.csv")
    with pytest.raises(HoldfastError, match=advice) as caught:
        _fetch(settings, tmp_path)
    assert "some/set/a.csv" in str(caught.value)
    assert "hunter2" not in str(caught.value)
