"""Checks before a run: all of them run, each failure is a sentence, and no weights are fetched."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fake_hub
import odd_checkpoints
import tiny_llama
from fake_hub import COMMIT, FakeHub
from holdfast.preflight import repositories
from places import ROOT
from preflights import failures, llama, run, settings, with_model


def test_the_default_config_is_ready_in_a_moment() -> None:
    command = [sys.executable, "-m", "holdfast", "preflight"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "'pocket' is ready to run." in done.stdout
    assert "✗" not in done.stdout


def test_overlays_are_merged_and_mistakes_in_them_told(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("run: other\nseeds: [-1]\n")
    command = [sys.executable, "-m", "holdfast", "preflight", "--configfile"]
    for path, complaint in ((wrong, "holdfast: seeds.0"), (tmp_path / "no.yaml", "cannot be read")):
        done = subprocess.run(
            [*command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr


def test_a_model_of_the_hub_is_checked_without_its_weights(hub: FakeHub) -> None:
    passed, lines = run(with_model())
    assert passed, lines
    told = "\n".join(lines)
    assert "✓ models.llama: some/llama at 0123456789ab is open to you" in told
    assert "✓ models.llama: 3 decoder layers" in told
    assert "✓ models.llama: has a chat template" in told
    assert "✓ models.llama: pads with its own token <pad>" in told
    fetched = {path.rsplit("/")[-1] for verb, path, _ in hub.asked if "resolve" in path}
    small = {"config.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert fetched <= {*small, "chat_template.jinja", "model.safetensors"}
    headers = [head for _, path, head in hub.asked if path.endswith(".safetensors")]
    assert headers
    assert all("Range" in head or "range" in head for head in headers)


def test_the_headers_of_a_model_of_the_hub_are_looked_at(hub: FakeHub, tmp_path: Path) -> None:
    odd_checkpoints.REFUSED["compiled"][0](tmp_path / "compiled")
    hub.add("some/llama", tmp_path / "compiled")
    assert "hold `_orig_mod.`" in " ".join(failures(with_model()))
    hub.repositories["some/llama"].files["model.safetensors"] = b"version https://git-lfs"
    (told,) = failures(with_model())
    assert "some/llama/model.safetensors" in told
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_every_failure_is_listed_with_its_mend(hub: FakeHub) -> None:
    hub.repositories["some/gated"] = fake_hub.Repository({"config.json": b"{}"}, gated=True)
    overlay = llama(layers=4)
    overlay["models"] |= {
        "gated": {"hub": "some/gated", "revision": COMMIT, "layers": 2},
        "old": {"hub": "some/llama", "revision": "f" * 40, "layers": 3},
        "absent": {"hub": "some/absent", "revision": COMMIT, "layers": 3},
        "folder": {"path": "nowhere", "layers": 3},
    }
    overlay["data"] = {"benign": {"source": {"pocket": None, "path": "nothing.csv"}}}
    found = failures(settings(**overlay))
    expected = [
        "models.gated.hub: some/gated .* accept its terms on https://huggingface.co/some/gated ",
        "models.old.hub: .* has no such revision",
        "models.absent.hub: some/absent .* was not found",
        "models.llama.layers: 4 does not match .* write layers: 3",
        "models.folder.path: nowhere is not a Hugging Face model",
        "data.benign.source.path: there is no file .*nothing.csv",
    ]
    for sentence in expected:
        pattern = re.compile(sentence)
        assert sum(bool(pattern.search(line)) for line in found) == 1, (sentence, found)
    assert len(found) == len(expected)


def test_a_gate_opens_with_a_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["some/llama"].gated = True
    assert "is gated" in failures(with_model())[0]
    repositories._ask.cache_clear()
    monkeypatch.setenv("HF_TOKEN", "hf_invited")
    assert failures(with_model()) == []


def test_files_that_a_repository_lacks_are_named(hub: FakeHub) -> None:
    files = hub.repositories["some/llama"].files
    for name in ("tokenizer.json", "chat_template.jinja"):
        del files[name]
    files["model-00001-of-00002.safetensors"] = files.pop("model.safetensors")
    tokens = json.loads(files["tokenizer_config.json"])
    del tokens["pad_token"], tokens["eos_token"]
    files["tokenizer_config.json"] = json.dumps(tokens).encode()
    access, padding, template = failures(with_model())
    assert "has no tokenizer (tokenizer.json or" in access
    assert "model-00002-of-00002.safetensors" in access
    assert "neither a pad nor an end-of-sequence token" in padding
    assert "has no chat template" in template


def test_a_chat_template_is_tried(hub: FakeHub) -> None:
    files = hub.repositories["some/llama"].files
    files["chat_template.jinja"] = b"<user> {{ messages[0].content.text }} <assistant>"
    (template,) = failures(with_model())
    assert "the chat template of some/llama drops the text of the user" in template


def test_a_chat_template_may_be_named_in_the_tokenizer_s_settings(hub: FakeHub) -> None:
    files = hub.repositories["some/llama"].files
    del files["chat_template.jinja"]
    tokens = json.loads(files["tokenizer_config.json"])
    named = [{"name": "default", "template": "{{ bos_token }}" + tiny_llama.TEMPLATE}]
    files["tokenizer_config.json"] = json.dumps(
        tokens | {"chat_template": named, "bos_token": {"content": "<s>"}}
    ).encode()
    assert failures(with_model()) == []


def test_offline_the_cache_is_checked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    from holdfast.files.hub import fetch_snapshot

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (missing,) = failures(with_model())
    assert "fetch it once online" in missing
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = fetch_snapshot("some/llama", COMMIT, "models.llama.hub")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repositories._ask.cache_clear()
    asked = len(hub.asked)
    passed, lines = run(with_model())
    assert passed, lines
    assert any("in the cache (offline: the hub was not asked)" in line for line in lines)
    (folder / "model.safetensors").unlink()
    repositories._ask.cache_clear()
    assert ".safetensors file of weights in the cache" in failures(with_model())[0]
    assert len(hub.asked) == asked


def test_a_hub_that_cannot_be_reached_is_told_once(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    (told,) = failures(with_model())
    assert "ConnectError" in told


def test_ready_made_copies_are_checked_too(hub: FakeHub) -> None:
    copy = {"model": "llama", "hub": "some/copy", "revision": COMMIT}
    overlay = llama()
    overlay["perturbations"] = {"ready": {"kind": "checkpoint", "levels": {"AWQ": [copy]}}}
    (told,) = failures(settings(**overlay))
    assert "perturbations.ready.levels.AWQ.0.hub: some/copy" in told
    files = hub.repositories["some/llama"].files
    config = json.loads(files["config.json"]) | {"num_hidden_layers": 2}
    hub.repositories["some/copy"] = fake_hub.Repository(
        {"config.json": json.dumps(config).encode(), "quantized.safetensors": b""}
    )
    repositories._ask.cache_clear()
    (told,) = failures(settings(**overlay))
    assert "3 does not match the checkpoint, which has 2 decoder layers" in told


def test_a_local_checkpoint_is_checked_to_its_last_byte(checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    local = with_model(hub=None, revision=None, path=str(copy))
    assert failures(local) == []
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (told,) = failures(local)
    assert "models.llama.path" in told
    assert "is cut off or damaged" in told
