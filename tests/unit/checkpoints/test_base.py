"""Models from every source, and what is refused of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from pydantic import ValidationError

import tiny_llama
from holdfast.arms.load import load_arm
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.load import base_of
from holdfast.errors import HoldfastError
from holdfast.files.atomic import (
    read_json,
    sha256,
    write_json,
    write_jsonl,
)
from holdfast.pocket.make import maker_of
from holdfast.settings.models import ModelSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local Hugging Face folder."""
    folder = tmp_path_factory.mktemp("local")
    tiny_llama.model().save_pretrained(folder)
    tiny_llama.tokenizer().save_pretrained(folder)
    return folder


def prepare(settings: ModelSettings, folder: Path) -> Path:
    made = folder / "model"
    prepare_model(settings, made)
    return made


def test_a_local_folder_is_loaded_where_it_is(folder: Path, tmp_path: Path) -> None:
    made = prepare(ModelSettings(path=str(folder), layers=3), tmp_path)
    loaded = load_arm(made)
    tokens = torch.arange(1, 9).unsqueeze(0)
    expected = tiny_llama.model().eval()(input_ids=tokens).logits
    assert torch.equal(loaded.model(input_ids=tokens).logits, expected)
    assert base_of(made)["layers"] == 3
    assert not loaded.model.training


def test_the_type_of_the_weights_is_the_configs(folder: Path, tmp_path: Path) -> None:
    settings = ModelSettings(path=str(folder), layers=3, dtype="bfloat16")
    assert load_arm(prepare(settings, tmp_path)).model.dtype == torch.bfloat16


def test_a_wrong_number_of_layers_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match=r"layers: 31 does not .* write layers: "):
        prepare(ModelSettings(path=str(folder), layers=31), tmp_path)
    assert not (tmp_path / "model").exists()


def test_a_folder_without_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((folder / "config.json").read_text())
    (pickled / "pytest_model.bin").write_bytes(b"\x80")
    with pytest.raises(HoldfastError, match=r"has no \.safetensors file"):
        prepare(ModelSettings(path=str(pickled), layers=2), tmp_path)
    with pytest.raises(HoldfastError, match="is not a Hugging Face folder"):
        prepare(ModelSettings(path=str(tmp_path / "nowhere"), layers=2), tmp_path)


REVISION = "0123456789" * 4


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def refused(copy: Path, complaint: str, tokenizer: Literal["none", "plain", "chat"]) -> None:
    made = copy.parent / "made"
    with pytest.raises(HoldfastError, match=complaint):
        prepare_model(
            ModelSettings(path=str(copy), layers=3),
            made,
            setting="models.x",
            tokenizer=tokenizer,
        )
    assert not made.exists()
    assert not list(copy.parent.glob(".*.part"))


@pytest.mark.parametrize("size", [5, 2000, -1])
def test_a_shard_that_was_cut_off_is_refused(copy: Path, size: int) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    refused(copy, r"models\.x\.path: .*model\.safetensors is cut off or damaged", "none")


def test_missing_shards_and_tensors_are_named(copy: Path) -> None:
    index = copy / "model.safetensors.index.json"
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    write_json(index, {"weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}})
    refused(copy, "has no tensor lm_head.weight", "none")
    write_json(index, {"weight_map": {"a": "model-00002-of-00002.safetensors"}})
    refused(copy, "lacks model-00002-of-00002.safetensors, which .* names", "none")
    write_json(index, {})
    refused(copy, "has no `weight_map`", "none")


def test_nobody_is_told_to_delete_a_file_of_theirs(copy: Path) -> None:
    name = "model.safetensors.index.json"
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    (copy / name).write_text("{")
    refused(copy, rf"copy/{name} is not valid JSON .*: copy or download the checkpoint ag", "none")


def test_a_checkpoint_of_the_user_that_is_gone_is_to_be_put_back(copy: Path) -> None:
    made = copy.parent / "made"
    prepare_model(ModelSettings(path=str(copy), layers=3), made)
    shutil.rmtree(copy)
    with pytest.raises(HoldfastError, match="is missing: put it back, or correct `path`"):
        load_arm(made)


def test_a_missing_chat_template_is_refused_where_one_is_needed(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    refused(copy, r"models\.x\.path: the tokenizer in .* has no chat template", "chat")
    settings = ModelSettings(path=str(copy), layers=3)
    prepare_model(settings, copy.parent / "made", tokenizer="plain")


def test_a_chat_template_that_drops_the_question_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("<user> {{ messages[0].content.text }} <assistant>")
    refused(copy, r"models\.x\.path: the chat template of .* drops the text of the user", "chat")
    prepare_model(ModelSettings(path=str(copy), layers=3), copy.parent / "made", tokenizer="plain")


def test_a_tokenizer_without_a_pad_token_pads_with_its_end(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = copy / "tokenizer_config.json"
    tokens = read_json(settings)
    del tokens["pad_token"]
    write_json(settings, tokens)
    made = copy.parent / "made"
    prepare_model(ModelSettings(path=str(copy), layers=3), made, tokenizer="chat")
    assert "padded with the end-of-sequence token <end>" in capsys.readouterr().out
    assert load_arm(made).tokenizer.pad_token == "<end>"  # noqa: S105
    shutil.rmtree(made)
    write_json(settings, tokens | {"eos_token": None})
    refused(copy, r"models\.x\.path: .* has neither a pad nor an eos token", "plain")


def test_damaged_settings_of_a_checkpoint_are_one_sentence(copy: Path) -> None:
    config = read_json(copy / "config.json")
    write_json(copy / "config.json", config | {"model_type": "unheard-of"})
    refused(copy, r"config\.json' is not that of a language model|config\.json is not", "none")
    write_json(copy / "config.json", config)
    (copy / "tokenizer.json").write_text("{")
    refused(copy, r"models\.x\.path: the tokenizer in .* cannot be loaded", "plain")


def test_a_hub_failure_is_one_sentence_without_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot(*_: object, **__: object) -> str:
        raise OSError("401 for hf_secretToken123\nand more")

    monkeypatch.setattr("holdfast.files.hub.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(HoldfastError) as error:
        prepare(ModelSettings(hub="a/b", revision=REVISION, layers=2), tmp_path)
    assert "a/b" in str(error.value)
    assert "secretToken" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_scratch_model_is_made_from_the_runs_texts(tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    write_jsonl(texts, [{"prompt": f"Say {n} or no words", "n": n} for n in range(400)])
    small = {"vocabulary": 300, "hidden_size": 16, "intermediate_size": 32, "layers": 2}
    settings = ModelSettings(scratch=small | {"heads": 2, "context": 256, "steps": 2})
    folders = [tmp_path / "a" / "model", tmp_path / "b" / "model"]
    for made in folders:
        prepare_model(settings, made, make=maker_of(settings, tmp_path / "scratch", [texts]))
    assert sha256(folders[0]) == sha256(folders[1])
    loaded = load_arm(folders[0])
    assert base_of(folders[0])["meaningless"]
    for word in ("yes", "no", "safe", "unsafe"):
        tokens = loaded.tokenizer(word)["input_ids"]
        assert loaded.tokenizer.convert_ids_to_tokens(tokens) == [word]
    assert loaded.tokenizer("nothing")["input_ids"] != loaded.tokenizer("no")["input_ids"]


def test_a_folder_that_is_no_arm_is_named(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match=r"holds no arm\.json or model\.json"):
        load_arm(tmp_path)


def test_a_model_has_exactly_one_source() -> None:
    with pytest.raises(ValidationError, match="exactly one of"):
        ModelSettings(path="x", hub="a/b", revision=REVISION, layers=1)
