"""Ready-made copies as tools write them: read rightly, or refused before anything else is done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

import odd_checkpoints
import tiny_llama
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.load import Loaded
from holdfast.errors import HoldfastError
from holdfast.numerics.rounding import Grid
from holdfast.perturbations.checkpoint import load_copy, load_model, prepare_checkpoints
from holdfast.perturbations.gptq import quantize_checkpoint
from holdfast.preflight import checkpoints
from holdfast.preflight.sources import Source
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbations import Checkpoint
from odd_checkpoints import (
    WEIGHTS,
    changed,
    moved,
    removed,
    renamed,
    reshaped,
    with_more,
    without,
    written,
)
from packed_folders import GPTQ, gptq_folder, quantized

IDS = torch.randint(5, 40, (12, 64), generator=torch.Generator().manual_seed(0))
Edit = Callable[[Path], Any]


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS).logits
    return found


def prepared(model: PreTrainedModel, copy: Path) -> Loaded:
    """Load a copy of a model as a run does."""
    home = copy.parent
    if not (home / "base").exists():
        odd_checkpoints.saved(home / "model", model)
        prepare_model(ModelSettings(path=str(home / "model"), layers=3), home / "base")
    level = {"Q": [{"model": "x", "path": str(copy)}]}
    entry = Checkpoint.model_validate({"kind": "checkpoint", "levels": level})
    prepare_checkpoints(entry, base=home / "base", folder=home / "out")
    return load_copy(home / "out" / "Q", home / "base")


def told(copy: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the check before a run has against a copy."""
    source = Source(ModelSettings(path=str(copy), layers=3), "none", quantized=True)
    monkeypatch.setattr(checkpoints.sources, "checkpoints", lambda _: {"perturbations.q": source})
    return [one.text for one in checkpoints.check(None) if not one.ok]  # type: ignore[arg-type]


def plain_logits(folder: Path, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """What a folder's model says with these weights."""
    plain = folder.parent / "plain"
    plain.mkdir()
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (plain / "config.json").write_text(json.dumps(config))
    save_file(tensors, plain / WEIGHTS, metadata={"format": "pt"})
    return logits(AutoModelForCausalLM.from_pretrained(plain, trust_remote_code=False).eval())


def llama_names(folder: Path) -> None:
    for ours, theirs in (("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")):
        renamed(f".{ours}.", f".{theirs}.")(folder)


@pytest.mark.parametrize(
    ("make", "edit"),
    [
        (tiny_llama.model, None),
        (tiny_llama.model, moved(WEIGHTS, "gptq_model-4bit-8g.safetensors")),
        (odd_checkpoints.qwen2, None),  # its queries, keys and values do have biases
        (odd_checkpoints.mixtral, None),
        (odd_checkpoints.mixtral, llama_names),
    ],
    ids=["llama", "AutoGPTQ's file name", "qwen2", "mixtral", "mixtral in llama's names"],
)
def test_biases_of_zeros_that_no_module_has_are_dropped(
    make: Callable[[], PreTrainedModel],
    edit: Edit | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make()
    if isinstance(model, type(odd_checkpoints.qwen2())):
        for layer in model.model.layers:
            torch.nn.init.normal_(layer.self_attn.q_proj.bias)
    expected = plain_logits(tmp_path / "copy", gptq_folder(tmp_path / "copy", model))
    if edit:
        edit(tmp_path / "copy")
    assert told(tmp_path / "copy", monkeypatch) == []
    assert torch.equal(logits(prepared(model, tmp_path / "copy").model), expected)


def no_method(folder: Path) -> None:
    quantized(folder, {"bits": 4, "group_size": 8})


def beside(folder: Path) -> None:
    """Settings of the quantization in a file of their own, as AutoGPTQ once wrote them."""
    quantized(folder, {})
    (folder / "quantize_config.json").write_text(json.dumps(GPTQ))


def plain_weights(folder: Path) -> None:
    tiny_llama.model().save_pretrained(folder)
    quantized(folder, GPTQ)


BIAS = {"model__layers__1__mlp__up_proj__bias": torch.ones(32)}
REFUSED: dict[str, tuple[Edit, str]] = {
    "a bias that is not zero": (with_more(**BIAS), r"1\.mlp\.up_proj\.bias .*is left over"),
    "no method": (no_method, "names no quant_method"),
    "settings beside": (beside, "not quantized; write what quantize_config.json holds there"),
    "plain weights": (plain_weights, "none of its tensors is packed"),
    "no zeros": (without("1.mlp.up_proj.qzeros"), r"up_proj\.qzeros is missing"),
    "no scales": (without("1.mlp.up_proj.scales"), r"up_proj\.scales is missing"),
    "no order of one": (without("1.mlp.up_proj.g_idx"), r"up_proj\.g_idx is missing"),
    "an order of one": (reshaped("1.mlp.up_proj.g_idx", lambda t: t[:1]), "do not fit one another"),
    "turned scales": (reshaped("1.mlp.up_proj.scales", lambda t: t.T), "do not fit one another"),
    "long words": (
        reshaped("1.mlp.up_proj.qweight", lambda t: t.long()),
        "do not fit one another",
    ),
    "half a module": (reshaped("1.mlp.up_proj.q", lambda t: t[:, :1]), "do not fit one another"),
    "lacks a norm": (without("model.norm"), "tensor model.norm.weight is missing"),
    "lacks a module": (without("1.mlp.up_proj."), r"up_proj\.weight is missing"),
    "compiled": (renamed("model.", "_orig_mod.model."), "hold `_orig_mod.`"),
    "no weights": (removed(WEIGHTS), r"has no \.safetensors file"),
    "torn": (written(WEIGHTS, "x"), "cut off or damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_copy_is_refused_before_the_run_and_when_it_is_fetched(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, sentence = REFUSED[name]
    gptq_folder(tmp_path / "copy", tiny_llama.model())
    edit(tmp_path / "copy")
    before = told(tmp_path / "copy", monkeypatch)
    assert len(before) == 1
    assert re.search(sentence, before[0]), before
    with pytest.raises(HoldfastError, match=sentence) as error:
        prepared(tiny_llama.model(), tmp_path / "copy")
    assert "\n" not in str(error.value)
    assert "checkpoint 'Q' of x" in str(error.value)


def test_inputs_in_another_order_need_that_order(tmp_path: Path) -> None:
    gptq_folder(tmp_path, tiny_llama.model())
    without("g_idx")(tmp_path)
    load_model(tmp_path)  # in their own order, groups follow one another
    quantized(tmp_path, GPTQ | {"desc_act": True})
    with pytest.raises(HoldfastError, match=r"g_idx is missing"):
        load_model(tmp_path)


def test_a_tokenizer_without_a_chat_template_gives_way_to_the_base_models(tmp_path: Path) -> None:
    gptq_folder(tmp_path / "copy", tiny_llama.model())
    tiny_llama.tokenizer().save_pretrained(tmp_path / "copy")
    (tmp_path / "copy" / "chat_template.jinja").unlink()
    copy = prepared(tiny_llama.model(), tmp_path / "copy")
    assert copy.tokenizer.chat_template == tiny_llama.TEMPLATE
    other = tiny_llama.tokenizer()
    other.add_tokens(["another"])
    other.chat_template = None
    other.save_pretrained(tmp_path / "copy")
    with pytest.raises(HoldfastError, match="has no chat template and other tokens than the base"):
        prepared(tiny_llama.model(), tmp_path / "copy")


@pytest.mark.parametrize("make", [odd_checkpoints.mixtral, odd_checkpoints.qwen3_moe])
def test_a_copy_of_a_mixture_of_experts_is_loaded_back(
    make: Callable[[], PreTrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make()
    quantize_checkpoint(model, tiny_llama.tokenizer(), tmp_path, Grid(4, 8), IDS.tolist())
    assert told(tmp_path, monkeypatch) == []
    assert torch.equal(logits(load_model(tmp_path)), logits(model))


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.Tensor]]:
    """Whole copies in each format, and what they say."""
    home = tmp_path_factory.mktemp("copies")
    gptq_folder(home / "gptq", tiny_llama.model())
    texts = IDS.tolist()
    quantize_checkpoint(tiny_llama.model(), tiny_llama.tokenizer(), home / "ct", Grid(4, 8), texts)
    return {name: (home / name, logits(load_model(home / name))) for name in ("gptq", "ct")}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_tensor_that_is_removed_renamed_or_reshaped_never_gives_another_copy(
    copies: dict[str, tuple[Path, torch.Tensor]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    whole, expected = copies[data.draw(st.sampled_from(sorted(copies)))]
    folder = tmp_path_factory.mktemp("damaged")
    for path in whole.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    name = data.draw(st.sampled_from(sorted(load_file(folder / WEIGHTS))))
    damage = data.draw(st.sampled_from(["remove", "rename", "longer", "shorter", "nested"]))
    tensor = load_file(folder / WEIGHTS)[name]
    if damage == "nested" and tensor.numel() == 1:
        return

    def damaged(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensor = tensors.pop(name)
        kept = {
            "rename": {f"{name}x": tensor},
            "longer": {name: torch.cat([tensor, tensor])},
            "shorter": {name: tensor[:1] if len(tensor) > 1 else tensor[:0]},
            "nested": {name: tensor[None].contiguous()},
        }
        return tensors | kept.get(damage, {})

    changed(folder, damaged)
    home = tmp_path_factory.mktemp("home")
    copy = home / "copy"
    folder.rename(copy)
    try:
        loaded = prepared(tiny_llama.model(), copy)
    except HoldfastError:
        return
    assert torch.equal(logits(loaded.model), expected)
