"""Folders for others: read alike by transformers 5 and 4, and tried before work can be lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
)

import tiny_llama
from holdfast.arms import first_order
from holdfast.arms.load import load_arm
from holdfast.arms.make import make_first_order
from holdfast.checkpoints.export import save_checkpoint, try_saving
from holdfast.checkpoints.legacy import Parent, write_legacy_keys
from holdfast.errors import HoldfastError
from holdfast.files import refusals
from holdfast.files.atomic import read_json, write_json, write_jsonl
from holdfast.settings.stages import FirstOrder

OLDER = "HOLDFAST_TRANSFORMERS_4"  # the python of an environment with transformers 4
SIZES = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
    "bos_token_id": None, "eos_token_id": 3, "pad_token_id": 0,
}  # fmt: skip
SCALING = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
ABOUT = {"source": "checkpoint", "revision": None, "trust_remote_code": False, "dtype": "float32"}


def published(folder: Path, *, old: bool) -> Path:
    """A model's folder with a checkpoint as transformers 4 (``old``) or 5 writes it."""
    torch.manual_seed(0)
    config = LlamaConfig(**SIZES, rope_theta=500000.0, rope_scaling=dict(SCALING))
    source = folder / "checkpoint"
    LlamaForCausalLM(config).save_pretrained(source)
    tiny_llama.tokenizer().save_pretrained(source)
    write_json(folder / "model.json", ABOUT)
    if old:
        config = read_json(source / "config.json")
        del config["rope_parameters"]
        config |= {"rope_theta": 500000.0, "rope_scaling": SCALING}
        config["torch_dtype"] = config.pop("dtype")
        write_json(source / "config.json", config)
        settings = read_json(source / "tokenizer_config.json")
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
        del settings["backend"], settings["pad_token"]  # loading sets one, config.json keeps its
        write_json(source / "tokenizer_config.json", settings)
    return folder


def exported(folder: Path, *, old: bool) -> Path:
    loaded = load_arm(published(folder / "model", old=old))
    save_checkpoint(loaded.model, loaded.tokenizer, folder / "export")
    return folder / "export"


@pytest.mark.parametrize("old", [True, False])
def test_an_export_has_the_keys_of_both(tmp_path: Path, old: bool) -> None:
    folder = exported(tmp_path, old=old)
    config, tokenizer = (read_json(folder / f"{x}config.json") for x in ("", "tokenizer_"))
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 500000.0
    assert config["rope_scaling"] == SCALING
    assert config["torch_dtype"] == config["dtype"] == "float32"
    assert (
        config["pad_token_id"] == 0 == read_json(folder / "generation_config.json")["pad_token_id"]
    )
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["additional_special_tokens"] == ["<user>", "<assistant>"]
    assert tokenizer["chat_template"] == tiny_llama.TEMPLATE
    assert tokenizer.get("pad_token") == (None if old else "<pad>")


@pytest.mark.parametrize("old", [True, False])
def test_an_export_loads_as_its_parent_does(tmp_path: Path, old: bool) -> None:
    folder, source = exported(tmp_path, old=old), tmp_path / "model" / "checkpoint"
    ids = torch.arange(5, 37)[None]
    models = [AutoModelForCausalLM.from_pretrained(path) for path in (folder, source)]
    assert torch.equal(*(model(ids).logits for model in models))
    ours, theirs = (model.config.to_dict() for model in models)
    assert ours["rope_parameters"] == theirs["rope_parameters"]
    first, second = (AutoTokenizer.from_pretrained(path) for path in (folder, source))
    assert first.special_tokens_map == second.special_tokens_map
    assert first.chat_template == second.chat_template
    assert first("<user> w1 w2").input_ids == second("<user> w1 w2").input_ids


@pytest.mark.parametrize(
    ("config", "old"),
    [
        (
            Gemma3TextConfig(
                rope_theta=2e6,
                rope_local_base_freq=5000.0,
                rope_scaling={"rope_type": "linear", "factor": 8.0},
            ),
            {
                "rope_theta": 2e6,
                "rope_local_base_freq": 5000.0,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
        ),
        (
            PhiConfig(partial_rotary_factor=0.25, rope_theta=20000.0),
            {"partial_rotary_factor": 0.25, "rope_theta": 20000.0, "rope_scaling": None},
        ),
        (
            GPTNeoXConfig(rotary_pct=0.5, rotary_emb_base=30000.0),
            {"rotary_pct": 0.5, "rotary_emb_base": 30000.0},
        ),
    ],
    ids=lambda value: value.model_type if hasattr(value, "model_type") else "",
)
def test_rotary_embeddings_of_other_families_keep_their_keys(
    config: Any, old: dict[str, Any], tmp_path: Path
) -> None:
    config.save_pretrained(tmp_path)
    write_legacy_keys(tmp_path, Parent({}, {}, {}), "bfloat16")
    written = read_json(tmp_path / "config.json")
    assert {name: written[name] for name in old} == old
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters == config.rope_parameters


def test_what_cannot_be_saved_is_told_before_a_step_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = published(tmp_path / "model", old=False)

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("temperature is set in the model config")

    monkeypatch.setattr(LlamaConfig, "save_pretrained", refuse)
    monkeypatch.setattr(first_order, "train", lambda *_, **__: pytest.fail("was trained"))
    write_jsonl(tmp_path / "pairs.jsonl", [{"prompt": "w1", "response": "w2"}])
    with pytest.raises(HoldfastError, match=r"could not be saved .temperature is set"):
        make_first_order(
            FirstOrder(steps=1, batch_size=1, learning_rate=0.1),
            parent=parent,
            data=tmp_path / "pairs.jsonl",
            max_length=32,
            seed=0,
            weights=tmp_path / "weights",
            scratch=tmp_path / "scratch",
        )


def test_a_disk_too_small_for_what_will_be_saved_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, usage = tiny_llama.model(), namedtuple("usage", "total used free")
    size = sum(parameter.nbytes for parameter in model.parameters())
    monkeypatch.setattr(refusals.shutil, "disk_usage", lambda _path: usage(0, 0, 2 * size))
    try_saving(model, tiny_llama.tokenizer(), tmp_path / "not" / "yet", copies=2)
    with pytest.raises(HoldfastError, match="make room and run again"):
        try_saving(model, tiny_llama.tokenizer(), tmp_path / "not" / "yet", copies=3)


READ = """
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], torch_dtype="auto")
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
message = [{"role": "user", "content": "w1 w2"}]
chat = tokenizer.apply_chat_template(message, add_generation_prompt=True)
with torch.no_grad():
    logits = model(torch.arange(5, 37)[None]).logits[0].tolist()
print(json.dumps({
    "version": transformers.__version__, "logits": logits, "chat": chat, "dtype": str(model.dtype),
    "special": sorted(tokenizer.all_special_tokens),
}))
"""


@pytest.mark.parametrize("old", [True, False])
def test_transformers_4_reads_an_export_as_5_does(tmp_path: Path, old: bool) -> None:
    python = os.environ.get(OLDER)
    if not python or not shutil.which(python):
        pytest.skip(f"{OLDER} names no python of an environment with transformers 4")
    folder = exported(tmp_path, old=old)
    command = [python, "-c", READ, str(folder)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert theirs["version"].startswith("4.")
    model, tokenizer = (x.from_pretrained(folder) for x in (AutoModelForCausalLM, AutoTokenizer))
    with torch.no_grad():
        ours = model(torch.arange(5, 37)[None]).logits[0]
    torch.testing.assert_close(torch.tensor(theirs["logits"]), ours, rtol=1e-4, atol=1e-5)
    message = [{"role": "user", "content": "w1 w2"}]
    chat = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False)
    assert theirs["chat"] == chat
    assert theirs["special"] == sorted(tokenizer.all_special_tokens)
    assert theirs["dtype"] == "torch.float32"
