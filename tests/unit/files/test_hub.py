"""The hub, played by a local server: patience, checksums, offline work, and no secret told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import fake_hub
import tiny_llama
from fake_hub import COMMIT, FakeHub
from holdfast.arms.load import load_arm
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.load import base_of
from holdfast.errors import HoldfastError
from holdfast.files import hub as module
from holdfast.files.atomic import read_json
from holdfast.files.hub import cached_snapshot, fetch_file, fetch_snapshot
from holdfast.settings.models import ModelSettings
from holdfast.text import mask

WEIGHTS = "model-00001-of-00003.safetensors"
TOKEN = "hf_hunter2hunter2"  # noqa: S105


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama in three shards, its tokenizer, and a file that no model needs."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_llama.model().save_pretrained(folder, max_shard_size="12KB")
    tiny_llama.tokenizer().save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"x")
    assert (folder / WEIGHTS).exists()
    return folder


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    for sleeping in (module, file_download, _http):
        monkeypatch.setattr(sleeping.time, "sleep", lambda seconds: None)
    with fake_hub.serving() as hub:
        fake_hub.use(hub, tmp_path / "home", monkeypatch)
        hub.add("some/llama", checkpoint)
        yield hub


def fetch(name: str = "some/llama", revision: str = COMMIT) -> Path:
    return fetch_snapshot(name, revision, "models.llama.hub")


def test_a_model_of_the_hub_is_fetched_checked_and_loaded(hub: FakeHub, tmp_path: Path) -> None:
    settings = ModelSettings(hub="some/llama", revision=COMMIT, layers=3)
    prepare_model(settings, tmp_path / "made", tokenizer="chat")
    base = base_of(tmp_path / "made")
    assert (base["source"], base["revision"], base["layers"]) == ("some/llama", COMMIT, 3)
    tokens = torch.arange(1, 9).unsqueeze(0)
    expected = tiny_llama.model()(input_ids=tokens).logits
    asked = len(hub.asked)
    assert torch.equal(load_arm(tmp_path / "made").model(input_ids=tokens).logits, expected)
    assert len(hub.asked) == asked  # loading asks nothing of the network
    assert not hub.downloads(".bin")


def test_what_was_fetched_is_not_asked_for_again(hub: FakeHub) -> None:
    folder = fetch()
    asked = len(hub.asked)
    assert fetch() == folder == cached_snapshot("some/llama", COMMIT)
    assert len(hub.asked) == asked


@pytest.mark.parametrize("failures", [[503], [429], [500, 502], ["cut"], ["cut", 503]])
def test_a_failing_hub_is_asked_again(
    hub: FakeHub, checkpoint: Path, failures: list[int | str]
) -> None:
    hub.failures[WEIGHTS] = list(failures)
    assert (fetch() / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
    assert len(hub.downloads(WEIGHTS)) == len(failures) + 1


def test_a_broken_download_goes_on_where_it_broke(
    hub: FakeHub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.failures[WEIGHTS] = ["cut"]
    assert (fetch() / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
    kept = (checkpoint / WEIGHTS).stat().st_size // 2 // 1024 * 1024
    assert [head.get("Range") for head in hub.downloads(WEIGHTS)] == [None, f"bytes={kept}-"]


def test_files_that_arrived_before_a_failure_stay(hub: FakeHub) -> None:
    hub.failures[WEIGHTS] = [500] * (len(module.WAITS_S) + 1)
    with pytest.raises(HoldfastError, match=r"models\.llama\.hub: .*HTTP 500.*run again"):
        fetch()
    before = len(hub.downloads("config.json"))
    fetch()
    assert len(hub.downloads("config.json")) == before


def test_a_killed_download_loses_the_file_under_way_and_no_other(
    hub: FakeHub, checkpoint: Path, tmp_path: Path
) -> None:
    hub.failures[WEIGHTS] = ["stall"]
    code = f"import holdfast.files.hub as h; h.fetch_snapshot('some/llama', '{COMMIT}', 'x')"
    variables = os.environ | fake_hub.environment(hub, tmp_path / "home")
    with subprocess.Popen([sys.executable, "-c", code], env=variables) as killed:
        assert hub.stalling.wait(60)
        killed.kill()
    hub.stalling.clear()
    (remains,) = (tmp_path / "home" / "hub").rglob("*.incomplete")
    before = len(hub.downloads("config.json"))
    assert (fetch() / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
    assert len(hub.downloads("config.json")) == before
    assert remains.exists()  # another process might be writing it
    os.utime(remains, (0, 0))
    fetch()
    assert not remains.exists()


def test_a_byte_that_arrived_wrong_is_noticed_and_fetched_again(
    hub: FakeHub, checkpoint: Path
) -> None:
    hub.failures[WEIGHTS] = ["flip"]
    assert (fetch() / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
    hub.add("some/other", checkpoint)
    hub.failures[WEIGHTS] = ["flip", "flip"]
    with pytest.raises(HoldfastError, match="does not have the hub's checksum"):
        fetch("some/other")


def test_weights_are_hashed_once(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    plain = module.sha256
    monkeypatch.setattr(module, "sha256", lambda path: hashed.append(path) or plain(path))
    folder = fetch()
    fetch()
    assert len(hashed) == len(list(folder.glob("*.safetensors")))


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_a_file_that_changed_in_the_cache_is_fetched_again(
    hub: FakeHub, checkpoint: Path, name: str
) -> None:
    stored = fetch() / name
    stored.resolve().write_bytes(b"damaged")
    assert (fetch() / name).read_bytes() == (checkpoint / name).read_bytes()


def test_a_file_that_was_edited_in_the_cache_is_not_loaded(hub: FakeHub, tmp_path: Path) -> None:
    settings = ModelSettings(hub="some/llama", revision=COMMIT, layers=3)
    prepare_model(settings, tmp_path / "made", setting="models.x")
    load_arm(tmp_path / "made")
    stored = fetch() / "tokenizer_config.json"
    stored.resolve().write_bytes(stored.read_bytes().replace(b"<end>", b"<pad>"))
    again = f"hf download some/llama tokenizer_config.json --revision {COMMIT} --force-download"
    with pytest.raises(HoldfastError, match=rf"^tokenizer_config\.json .*: fetch .*`{again}`$"):
        load_arm(tmp_path / "made")


def test_the_cache_is_enough_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    folder = fetch()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert fetch() == folder
    with pytest.raises(HoldfastError, match="fetch it once online"):
        fetch("some/other")
    (folder / WEIGHTS).unlink()
    with pytest.raises(HoldfastError, match=f"{WEIGHTS}.*fetch it once online"):
        fetch()
    assert len(hub.asked) == asked


def test_a_cache_that_was_cleaned_is_told() -> None:
    with pytest.raises(HoldfastError, match="no longer in the hub's cache"):
        cached_snapshot("some/absent", COMMIT)


def test_no_network_is_told(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HoldfastError, match=r"ConnectError.*check the network"):
        fetch()
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(HoldfastError, match=r"ConnectError.*check the network"):
        fetch_file("some/llama", "config.json", COMMIT, "x", "model")


def test_a_gated_model_names_the_page_and_opens_with_a_token(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["some/llama"].gated = True
    page = re.escape("https://huggingface.co/some/llama ")
    with pytest.raises(HoldfastError, match=f"is gated: accept its terms on {page}"):
        fetch()
    with pytest.raises(
        HoldfastError, match=re.escape("https://huggingface.co/datasets/some/llama ")
    ):
        fetch_file("some/llama", "config.json", COMMIT, "data.x.hub", "dataset")
    monkeypatch.setenv("HF_TOKEN", "hf_invited")
    assert (fetch() / WEIGHTS).exists()


@pytest.mark.parametrize(
    ("name", "revision", "file", "complaint"),
    [
        ("some/llama", "f" * 40, "config.json", "has no such revision"),
        ("some/absent", COMMIT, "config.json", "was not found"),
        ("some/llama", COMMIT, "absent.json", "does not exist"),
    ],
)
def test_what_the_hub_does_not_have_is_told_at_once(
    hub: FakeHub, name: str, revision: str, file: str, complaint: str
) -> None:
    with pytest.raises(HoldfastError, match=rf"^data\.x\.hub: {name}/{file}.*{complaint}"):
        fetch_file(name, file, revision, "data.x.hub", "model")
    assert len(hub.asked) == 1


def test_a_damaged_repository_is_no_model(hub: FakeHub, tmp_path: Path) -> None:
    files = hub.repositories["some/llama"].files
    files[WEIGHTS] = files[WEIGHTS][:-1]
    settings = ModelSettings(hub="some/llama", revision=COMMIT, layers=3)
    with pytest.raises(HoldfastError, match=rf"models\.x\.hub: .*{WEIGHTS} is cut off"):
        prepare_model(settings, tmp_path / "made", setting="models.x")
    assert not (tmp_path / "made").exists()


def test_secrets_are_masked_in_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "plainhunter2")
    told = mask(
        f"{TOKEN} plainhunter2 Authorization: Bearer abchunter2 https://me:hunter2@host/a"
        " https://cdn/a?X-Amz-Signature=hunter2&Expires=3&token=hunter2 kept=1"
    )
    assert "hunter2" not in told
    assert "Expires=3" in told
    assert "kept=1" in told


JOB = """
import sys
from pathlib import Path
from types import SimpleNamespace
from holdfast.jobs.frame import job

folder, name, revision = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
snakemake = SimpleNamespace(
    threads=1, resources={}, rule="base_model", wildcards={"model": "llama"},
    params={"settings": '[1, {"hub": "%s", "revision": "%s", "layers": 3}]' % (name, revision)},
    log=[str(folder / "job.log")], input=[], output=[str(folder / "model.json")],
)
with job(snakemake) as (settings,):
    from holdfast.files.atomic import write_json
    from holdfast.files.hub import fetch_snapshot
    if revision == "bug":
        raise RuntimeError("at https://me:hunter2@host/ with hf_hunter2hunter2")
    fetch_snapshot(settings["hub"], settings["revision"], "models.llama.hub")
    write_json(folder / "model.json", settings)
"""


def test_a_planted_token_is_in_no_log_manifest_or_result(hub: FakeHub, tmp_path: Path) -> None:
    hub.failures["config.json"] = [503]
    secret = hub.address.replace("//", "//me:hunter2@")
    cases = [
        ("some/llama", COMMIT, hub.address),
        ("some/absent", COMMIT, secret),
        ("some/llama", "f" * 40, secret),
        ("some/llama", "bug", secret),
    ]
    for case, (name, revision, address) in enumerate(cases):
        folder = tmp_path / f"run{case}"
        folder.mkdir()
        command = [sys.executable, "-c", JOB, str(folder), name, revision]
        variables = fake_hub.environment(hub, tmp_path / "home") | {"HF_ENDPOINT": address}
        run = subprocess.run(
            command,
            env=os.environ | variables | {"HF_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == (0 if case == 0 else 1), run.stderr
        assert "hunter2" not in run.stdout + run.stderr
        for path in folder.rglob("*"):
            assert path.is_dir() or b"hunter2" not in path.read_bytes(), path
    assert TOKEN in str(hub.asked)  # it was used
    assert read_json(tmp_path / "run0" / "model.json.manifest.json")["rule"] == "base_model"
