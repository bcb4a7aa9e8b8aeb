"""Nothing is run on weights that were drawn at random: each tensor has its place, or a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import odd_checkpoints
from holdfast.arms.load import load_arm
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.load import load_checkpoint
from holdfast.errors import HoldfastError
from holdfast.preflight import checkpoints
from holdfast.preflight.finding import Finding
from holdfast.preflight.sources import Source
from holdfast.settings.models import ModelSettings
from odd_checkpoints import ACCEPTED, REFUSED, WEIGHTS

IDS = torch.arange(1, 25).view(2, 12)
BASE = {"source": "", "revision": None, "trust_remote_code": False, "dtype": "float32"}


def looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the check before a run says of a folder."""
    source = Source(ModelSettings(path=str(folder), layers=3), "chat")
    monkeypatch.setattr(checkpoints.sources, "checkpoints", lambda _: {"models.x": source})
    return list(checkpoints.check(None))  # type: ignore[arg-type]


def prepared(folder: Path) -> Path:
    made = folder.parent / f"{folder.name}.made"
    model = ModelSettings(path=str(folder))
    prepare_model(model, made, setting="models.x", tokenizer="chat")
    return made


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_odd_checkpoint_that_is_whole_loads_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "odd"
    model = ACCEPTED[name](folder)
    findings = looked_at(folder, monkeypatch)
    assert all(finding.ok for finding in findings), findings
    expected = logits(model.float())
    assert torch.equal(logits(load_arm(prepared(folder)).model), expected)


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_checkpoint_is_refused_in_one_sentence_before_the_run_and_in_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, sentence = REFUSED[name]
    folder = tmp_path / "broken"
    make(folder)
    told = [finding.text for finding in looked_at(folder, monkeypatch) if not finding.ok]
    with pytest.raises(HoldfastError) as error:
        prepared(folder)
    for text in (*told, str(error.value)):
        assert "\n" not in text
    assert re.search(sentence, str(error.value)), error.value
    assert any(re.search(sentence, text) for text in told), told
    assert not (tmp_path / "broken.made").exists()


def test_there_are_many_kinds() -> None:
    assert len(ACCEPTED) + len(REFUSED) >= 40


@pytest.mark.parametrize("name", ["compiled", "lacks a layer", "value head", "transposed"])
def test_loading_looks_itself(name: str, tmp_path: Path) -> None:
    make, sentence = REFUSED[name]
    make(tmp_path / "broken")
    with pytest.raises(HoldfastError, match=sentence):
        load_checkpoint(tmp_path / "broken", BASE, {}, None)


def test_loading_tells_experts_that_cannot_be_put_together(tmp_path: Path) -> None:
    make, _ = REFUSED["an expert without a part"]
    make(tmp_path / "broken")
    with pytest.raises(HoldfastError, match="cannot be put together"):
        load_checkpoint(tmp_path / "broken", BASE, {}, None)


FAMILIES = {
    "llama": odd_checkpoints.llama,
    "untied": odd_checkpoints.untied,
    "mixtral": odd_checkpoints.mixtral,
    "mamba": odd_checkpoints.mamba,
    "qwen2": odd_checkpoints.qwen2,
    "gpt2": odd_checkpoints.gpt2,
}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.Tensor]]:
    found = {}
    for name, make in FAMILIES.items():
        folder = tmp_path_factory.mktemp(name)
        found[name] = (folder, logits(odd_checkpoints.saved(folder, make())))
    return found


NAMES = st.text("abm.0126_", min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_tensor_that_is_removed_renamed_or_reshaped_never_gives_another_model(
    families: dict[str, tuple[Path, torch.Tensor]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    whole, expected = families[data.draw(st.sampled_from(sorted(families)))]
    folder = tmp_path_factory.mktemp("damaged") / "model"
    folder.mkdir()
    for path in whole.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = dict(load_file(whole / WEIGHTS))
    name = data.draw(st.sampled_from(sorted(tensors)))
    tensor = tensors.pop(name)
    damage = data.draw(st.sampled_from(["remove", "rename", "reshape", "renumber"]))
    if damage == "rename":
        place = data.draw(st.integers(0, len(name)))
        tensors[name[:place] + data.draw(NAMES) + name[place:]] = tensor
    elif damage == "renumber":
        old, new = data.draw(st.tuples(*[st.sampled_from("01234567")] * 2))
        tensors[name.replace(f".{old}.", f".{new}.")] = tensor
    elif damage == "reshape":
        first, *rest = tensor.shape
        change = data.draw(st.sampled_from(["less", "more", "flat", "nested", "turned"]))
        tensors[name] = {
            "less": tensor[: max(1, first // 2)] if first > 1 else tensor[:0],
            "more": torch.cat([tensor, tensor]),
            "flat": tensor.flatten() if rest else tensor[:, None],
            "nested": tensor[None],
            "turned": tensor.T if rest and tensor.ndim == 2 else tensor[:, None],
        }[change].contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    try:
        made = prepared(folder)
    except HoldfastError:
        return
    if damage == "reshape" and tensors[name].shape == tensor.shape:
        return  # a square matrix was turned, which no header tells
    # What is accepted is a prefix that transformers takes away.
    assert torch.equal(logits(load_arm(made).model), expected)
