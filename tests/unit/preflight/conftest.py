"""What every check before a run meets: an empty folder, and a Hub with a small model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_hub
import tiny_llama
from fake_hub import FakeHub
from holdfast.preflight import repositories


@pytest.fixture(autouse=True)
def _config_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_llama.model().save_pretrained(folder)
    tiny_llama.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repositories._ask.cache_clear()


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub.serving() as hub:
        fake_hub.use(hub, tmp_path / "home", monkeypatch)
        hub.add("some/llama", checkpoint)
        yield hub
