"""Fine-tuning attacks: every level is a stage of one training, and loads as an arm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

import tiny_llama
from holdfast.arms.first_order import float32_parameters
from holdfast.arms.schedule import sample_indices
from holdfast.checkpoints.load import Loaded
from holdfast.engine.batches import collate, encode_pairs
from holdfast.files.atomic import (
    read_json,
    read_jsonl,
    sha256,
    write_json,
    write_jsonl,
)
from holdfast.perturbations.checkpoint import load_copy
from holdfast.perturbations.finetune import _save, make_finetuned
from holdfast.settings.perturbations import FineTune
from places import HELPERS

ABOUT = {"source": "checkpoint", "revision": None, "trust_remote_code": False}


def settings(**changes: object) -> FineTune:
    plain = {"source": {"path": "x.json"}, "levels": [2, 5], "learning_rate": 1e-3}
    return FineTune(kind="finetune", **plain | {"compute": "float32", "batch_size": 4} | changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A base model and eight pairs."""
    return base(tmp_path)


def base(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    tiny_llama.model(dtype).save_pretrained(folder / "arm" / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(folder / "arm" / "checkpoint")
    name = str(dtype).removeprefix("torch.")
    write_json(folder / "arm" / "model.json", ABOUT | {"dtype": name})
    pairs = [{"prompt": f"w{n} w2 w3", "response": f"w{n + 9} w5"} for n in range(8)]
    write_jsonl(folder / "pairs.jsonl", pairs)
    return folder


def attack(run: Path, chosen: FineTune, name: str = "copies") -> Path:
    make_finetuned(
        chosen,
        arm=run / "arm",
        lineage=[run / "arm"],
        data=run / "pairs.jsonl",
        max_length=64,
        seed=3,
        folder=run / name,
        scratch=run / "scratch",
    )
    return run / name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_levels_are_stages_of_plain_training(run: Path, optimizer: str) -> None:
    folder = attack(run, settings(optimizer=optimizer))
    theirs = tiny_llama.model()
    rule = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    steps = rule(theirs.parameters(), lr=1e-3, weight_decay=0.0)
    rows = read_jsonl(run / "pairs.jsonl")
    examples = encode_pairs(tiny_llama.tokenizer(), rows, 64)
    for step in range(5):
        chosen = sample_indices(len(examples), 4, step, 3, "first_order")
        theirs(**collate([examples[row] for row in chosen], 0)._asdict()).loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        steps.step()
        steps.zero_grad()
        if str(step + 1) in ("2", "5"):
            loaded = load_copy(folder / str(step + 1), run / "arm")
            for ours, expected in zip(loaded.model.parameters(), theirs.parameters(), strict=True):
                torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-5)
    assert sorted(path.name for path in folder.iterdir()) == ["2", "5"]
    assert not (run / "scratch").exists() or not list((run / "scratch").iterdir())


def test_a_16_bit_model_trains_in_float32_and_is_stored_in_its_type(tmp_path: Path) -> None:
    folder = attack(base(tmp_path, torch.bfloat16), settings(levels=[3], learning_rate=1e-5))
    loaded = load_copy(folder / "3", tmp_path / "arm")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    size = (folder / "3/checkpoint/model.safetensors").stat().st_size
    assert size < (tmp_path / "arm/checkpoint/model.safetensors").stat().st_size * 1.2
    config = read_json(folder / "3/checkpoint/config.json")
    assert config["dtype"] == config["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize("tied", [True, False])
def test_every_tensor_is_stored_in_the_middle_of_training(tmp_path: Path, tied: bool) -> None:
    model = tiny_llama.model(torch.bfloat16, tied=tied)
    model.register_buffer("counts", torch.arange(3.0))  # as a router's bias, which is not trained
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loaded = Loaded(model, tiny_llama.tokenizer(), {})
    with float32_parameters(model):
        _save(loaded, types, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert ("lm_head.weight" in stored) == (not tied)
    assert {*plain} - {*stored} <= {"lm_head.weight"}
    assert all(torch.equal(plain[name], tensor) for name, tensor in stored.items())
    assert all(plain[name].dtype == tensor.dtype for name, tensor in stored.items())


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import test_finetune as case
from holdfast.perturbations import finetune
save = finetune._save
def save_then_die(loaded, types, folder):
    save(loaded, types, folder)
    if "/.5." in str(folder):
        os.kill(os.getpid(), signal.SIGKILL)
finetune._save = save_then_die
case.attack(Path(sys.argv[1]), case.settings())
"""


def test_a_killed_attack_ends_with_the_same_bytes(run: Path) -> None:
    whole = attack(run, settings(), "whole")
    command = [sys.executable, "-c", KILLED, str(run), str(Path(__file__).parent), str(HELPERS)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(command, check=False, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (run / "copies").exists()
    resumed = attack(run, settings())
    for level in ("2", "5"):
        assert sha256(resumed / level / "checkpoint") == sha256(whole / level / "checkpoint")


def test_steps_must_ascend() -> None:
    with pytest.raises(ValidationError, match=r"steps must ascend, and \[5, 2\] do not"):
        settings(levels=[5, 2])
