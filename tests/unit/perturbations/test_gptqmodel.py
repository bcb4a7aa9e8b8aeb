"""W4A16 by GPTQModel: what it is asked, what is kept, and, where it is installed, what it makes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import tiny_llama
from holdfast.errors import HoldfastError
from holdfast.numerics.rounding import Grid, quantize_dequantize
from holdfast.perturbations import gptqmodel
from holdfast.perturbations.checkpoint import load_model
from holdfast.perturbations.quantize import make_quantized
from holdfast.settings.perturbations import Gptq, Perturbation

IDS = torch.randint(5, 40, (12, 64), generator=torch.Generator().manual_seed(0))
CALIBRATION = [*IDS.tolist(), [1, 2, 3]]


def settings(**entry) -> Gptq:
    return TypeAdapter(Perturbation).validate_python({"kind": "gptq"} | entry)


@pytest.fixture
def arm(tmp_path):
    """An exported arm whose linear modules have at least 32 inputs and outputs."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tiny_llama.VOCABULARY),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        initializer_range=0.3,
        pad_token_id=0,
        eos_token_id=3,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "arm")
    tiny_llama.tokenizer().save_pretrained(tmp_path / "arm")
    return tmp_path / "arm"


def test_its_absence_is_one_sentence(arm, tmp_path, monkeypatch):
    monkeypatch.setattr(gptqmodel, "find_spec", lambda _name: None)
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "w1", "response": "w2"}\n')
    with pytest.raises(HoldfastError, match=r"envs/gptqmodel\.yaml: start snakemake with `--sdm c"):
        make_quantized(
            settings(backend="gptqmodel", levels={"W4A16": {}}),
            arm=arm,
            lineage=[arm],
            data=tmp_path / "pairs.jsonl",
            folder=tmp_path / "out",
            scratch=tmp_path / "scratch",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", ["tensor", 48])
def test_a_group_size_that_it_does_not_know_is_refused(size):
    levels = {"odd": {"bits": 4, "group_size": size}}
    assert settings(levels=levels).backend == "llm-compressor"
    with pytest.raises(ValidationError, match=f"cannot share a scale over {size}; give `channel`"):
        settings(backend="gptqmodel", levels=levels)


def test_what_it_is_asked_and_what_is_kept(arm, tmp_path, monkeypatch):
    asked = SimpleNamespace()

    class Live:
        def quantize(self, texts):
            asked.texts = texts

        def save(self, folder):
            config = {"quantization_config": {"bits": 4, "meta": {"path": "/a/temporary/folder"}}}
            (tmp_path / "out" / "config.json").write_text(json.dumps(config))
            (tmp_path / "out" / "quant_log.csv").write_text("seconds")

    def load(_cls, path, config, **named):
        asked.__dict__.update(named, config=config, path=path)
        return Live()

    package = SimpleNamespace(
        QuantizeConfig=lambda **named: named, GPTQModel=type("G", (), {"load": classmethod(load)})
    )
    monkeypatch.setattr(gptqmodel, "find_spec", lambda _name: True)
    monkeypatch.setattr(gptqmodel, "import_module", lambda _name: package)
    (tmp_path / "out").mkdir()
    gptqmodel.quantize_folder(arm, tmp_path / "out", Grid(4, "channel"), CALIBRATION)
    assert (asked.config["bits"], asked.config["group_size"], asked.config["sym"]) == (4, -1, True)
    assert asked.config["fallback"] is None
    assert (asked.path, asked.dtype) == (str(arm), torch.float32)
    assert [text["input_ids"] for text in asked.texts] == IDS.tolist()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.json"]
    kept = json.loads((tmp_path / "out" / "config.json").read_text())
    assert kept == {"quantization_config": {"bits": 4}}
    with pytest.raises(HoldfastError, match="texts of more than 10 tokens"):
        gptqmodel.quantize_folder(arm, tmp_path / "out", Grid(4, 32), [[1, 2, 3]])


@pytest.mark.skipif(find_spec("gptqmodel") is None, reason="GPTQModel is not installed here")
@pytest.mark.parametrize("grid", [Grid(4, 32), Grid(3, 32), Grid(4, "channel")], ids=str)
def test_it_is_closer_to_the_arm_than_rounding_to_nearest(arm, grid, tmp_path):
    gptqmodel.quantize_folder(arm, tmp_path / "out", grid, CALIBRATION)
    exact = AutoModelForCausalLM.from_pretrained(arm)
    rounded = AutoModelForCausalLM.from_pretrained(arm)
    copy = load_model(tmp_path / "out")
    for name, module in copy.model.layers.named_modules():
        if isinstance(module, torch.nn.Linear):
            weight = rounded.model.layers.get_submodule(name).weight
            weight.data = quantize_dequantize(weight.data, grid)
            rows = module.weight.detach()
            if isinstance(grid.group_size, int):
                rows = rows.unflatten(-1, (-1, grid.group_size)).flatten(0, 1)
            assert max(len(row.unique()) for row in rows) <= 2**grid.bits
    assert torch.equal(copy.lm_head.weight, exact.lm_head.weight)

    @torch.no_grad()
    def distance(model):
        ours, theirs = (one(input_ids=IDS).logits.log_softmax(-1) for one in (exact, model))
        return (ours.exp() * (ours - theirs)).sum(-1).mean().item()

    assert distance(copy) < 0.8 * distance(rounded)
