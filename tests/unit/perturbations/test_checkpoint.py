"""Ready-made quantized checkpoints: GPTQ, AWQ and compressed-tensors folders."""

from __future__ import annotations

import json
import random
import re
import shutil

import pytest
import torch
import yaml
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file

import tiny_llama
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.packed import unpack, unpacked
from holdfast.errors import HoldfastError
from holdfast.numerics.rounding import Grid
from holdfast.perturbations.checkpoint import load_copy, load_model, prepare_checkpoints
from holdfast.perturbations.gptq import quantize_checkpoint
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbations import Checkpoint, Perturbation
from packed_folders import AWQ, awq_folder, integers, quantized, words

IDS = torch.randint(5, 40, (12, 64), generator=torch.Generator().manual_seed(0))
GPTQ = {"quant_method": "gptq", "checkpoint_format": "gptq", "bits": 4, "group_size": 8}


def settings(**entry) -> Checkpoint:
    return TypeAdapter(Perturbation).validate_python({"kind": "checkpoint"} | entry)


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
def test_integers_of_any_width_are_unpacked(bits):
    rows = integers(3, 64, bits, seed=bits)
    assert unpack(words(rows, bits), bits).tolist() == rows


@pytest.mark.parametrize(("layout", "offset"), [("gptq", 1), ("gptq_v2", 0)])
@pytest.mark.parametrize("bits", [3, 4])
def test_gptq_is_scale_times_integer_less_zero_in_the_groups_it_names(layout, offset, bits):
    inputs, outputs, groups = 64, 32, 4
    q, zeros = integers(inputs, outputs, bits, 1), integers(groups, outputs, bits, 2)
    scales = torch.rand(groups, outputs, generator=torch.Generator().manual_seed(3)).half()
    group = list(range(groups)) * (inputs // groups)
    random.Random(4).shuffle(group)  # noqa: S311
    stored = [[(zero - offset) % 2**bits for zero in row] for row in zeros]
    tensors = {
        "a.qweight": words([list(column) for column in zip(*q, strict=True)], bits).T.contiguous(),
        "a.qzeros": words(stored, bits),
        "a.scales": scales,
        "a.g_idx": torch.tensor(group, dtype=torch.int32),
        "a.bias": torch.ones(outputs),
    }
    plain = unpacked(tensors, GPTQ | {"checkpoint_format": layout}, torch.float32)
    assert set(plain) == {"a.weight", "a.bias"}
    for i in range(inputs):
        for o in range(outputs):
            expected = scales[group[i], o].item() * (q[i][o] - zeros[group[i]][o])
            assert plain["a.weight"][o, i].item() == pytest.approx(expected, rel=1e-6)


def test_awq_is_what_the_converter_to_compressed_tensors_makes_of_it(tmp_path):
    from compressed_tensors.entrypoints.convert.converters import AutoAWQConverter

    awq_folder(tmp_path / "awq")
    converter = AutoAWQConverter.from_autoawq_config(AWQ)
    shutil.copytree(tmp_path / "awq", tmp_path / "converted")
    tensors = converter.process(load_file(tmp_path / "awq" / "model.safetensors"))
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        tmp_path / "converted" / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = converter.update_config(None).model_dump(mode="json")
    quantized(tmp_path / "converted", config | {"quant_method": "compressed-tensors"})
    assert torch.equal(
        logits(load_model(tmp_path / "awq")), logits(load_model(tmp_path / "converted"))
    )


@pytest.fixture
def base(tmp_path):
    """The folder of a base model, as the run makes it."""
    tiny_llama.model().save_pretrained(tmp_path / "model")
    tiny_llama.tokenizer().save_pretrained(tmp_path / "model")
    model = ModelSettings(path=str(tmp_path / "model"), layers=3)
    prepare_model(model, tmp_path / "base")
    return tmp_path / "base"


def prepare(base, path, out):
    level = [{"model": "llama", "path": str(path)}]
    prepare_checkpoints(settings(levels={"Q": level}), base=base, folder=out)
    return load_copy(out / "Q", base)


def test_a_compressed_tensors_checkpoint_stands_in_for_the_arm(base, tmp_path):
    model = tiny_llama.model()
    quantize_checkpoint(model, tiny_llama.tokenizer(), tmp_path / "q", Grid(4, 8), IDS.tolist())
    copy = prepare(base, tmp_path / "q", tmp_path / "out")
    assert torch.equal(logits(copy.model), logits(model))
    assert copy.base["layers"] == 3
    assert not any(parameter.requires_grad for parameter in copy.model.parameters())


def test_the_tokenizer_is_the_checkpoints_own_or_else_the_base_models(base, tmp_path):
    awq_folder(tmp_path / "awq")
    tokenizer = prepare(base, tmp_path / "awq", tmp_path / "one").tokenizer
    assert tokenizer.chat_template == tiny_llama.TEMPLATE
    own = tiny_llama.tokenizer()
    own.chat_template = "its own"
    own.save_pretrained(tmp_path / "awq")
    assert prepare(base, tmp_path / "awq", tmp_path / "two").tokenizer.chat_template == "its own"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"num_hidden_layers": 4}, "it has 4 decoder layers and the base model has 3"),
        ({"vocab_size": 41}, "it has 41 tokens in its vocabulary and the base model has 40"),
        ({"quantization_config": {}}, "it is not quantized"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quant_method 'fp8' cannot be loaded"),
    ],
)
def test_what_is_no_copy_of_the_model_is_refused(base, tmp_path, change, sentence):
    awq_folder(tmp_path / "awq")
    config = json.loads((tmp_path / "awq" / "config.json").read_text())
    (tmp_path / "awq" / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(HoldfastError, match=rf"checkpoint 'Q' of llama: .*{sentence}"):
        prepare(base, tmp_path / "awq", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_safetensors_are_refused(base, tmp_path):
    awq_folder(tmp_path / "awq")
    (tmp_path / "awq" / "model.safetensors").rename(tmp_path / "awq" / "pytorch_model.bin")
    with pytest.raises(HoldfastError, match=r"has no \.safetensors file"):
        prepare(base, tmp_path / "awq", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "gemv"}, "AWQ layout 'gemv' is not supported"),
        (GPTQ | {"checkpoint_format": "marlin"}, "GPTQ layout 'marlin' is not supported"),
        ({"rotation": "hadamard"}, "`rotation`, which is not supported"),
    ],
)
def test_a_layout_that_would_be_read_wrongly_is_refused(tmp_path, change, sentence):
    awq_folder(tmp_path)
    quantized(tmp_path, AWQ | change)
    with pytest.raises(HoldfastError, match=sentence):
        load_model(tmp_path)


def test_a_rotation_at_run_time_is_refused(tmp_path):
    model = tiny_llama.model()
    quantize_checkpoint(model, tiny_llama.tokenizer(), tmp_path, Grid(4, 8), IDS.tolist())
    config = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    places = [{"targets": ["Linear"], "location": place} for place in ("weight_input", "input")]
    group = {"type": "hadamard", "apply": places}
    quantized(tmp_path, config | {"transform_config": {"config_groups": {"R4": group}}})
    with pytest.raises(HoldfastError, match="rotates activations at run time"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.0.mlp.up_proj.qzeros"])
def test_a_missing_tensor_is_named(tmp_path, name):
    awq_folder(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HoldfastError, match=rf"tensor {re.escape(name)} is missing"):
        load_model(tmp_path)


def test_settings_name_one_pinned_source_an_arm():
    revision = "0123456789" * 4
    for entry, sentence in (
        ({"hub": "a/b"}, "`hub` and `revision`"),
        ({"hub": "a/b", "path": "c"}, "exactly one of hub, path"),
        ({}, "exactly one of hub, path"),
    ):
        with pytest.raises(ValidationError, match=sentence):
            settings(levels={"AWQ": [{"model": "llama"} | entry]})
    twice = [
        {"model": "llama", "hub": "a/b", "revision": revision},
        {"model": "llama", "path": "c"},
    ]
    with pytest.raises(ValidationError, match="two checkpoints of llama, arm original"):
        settings(levels={"AWQ": twice})


def test_an_arm_has_the_levels_that_name_it():
    levels = {
        "AWQ": [{"model": "llama", "path": "a"}, {"model": "qwen", "path": "b"}],
        "GPTQ": [{"model": "llama", "path": "c"}, {"model": "llama", "arm": "fo", "path": "d"}],
    }
    both = settings(levels=levels)
    assert both.of("llama", "original").cells == [("AWQ", 0), ("GPTQ", 0)]
    assert both.of("qwen", "original").cells == [("AWQ", 0)]
    assert [one.path for one in both.of("llama", "fo").levels["GPTQ"]] == ["d"]
    assert both.of("qwen", "fo") is None
    assert "AWQ: a for llama, original, b for qwen, original" in both.note


def test_only_models_that_have_a_checkpoint_are_evaluated_under_it():
    from holdfast.config import load_settings
    from holdfast.plan import At, Plan
    from places import CONFIG

    config = yaml.safe_load(CONFIG.read_text())
    config["models"]["other"] = config["models"]["pocket"]
    config["perturbations"]["ready"] = {
        "kind": "checkpoint",
        "levels": {"AWQ": [{"model": "other", "path": "a"}]},
    }
    plan = Plan(load_settings(config))
    assert plan.evaluation.perturbations("original", "pocket") == [
        name for name in plan.evaluation.perturbations("original", "other") if name != "ready"
    ]
    assert "ready" not in plan.evaluation.perturbations("fo")
    (job,) = [job for job in plan.evaluation.jobs if "ready" in job.perturbations]
    assert (job.arms, job.perturbations, job.models) == ("original", ("ready",), "other")
    assert plan.evaluation.quantized(At("other", "original", 0), "ready") == [
        "results/pocket/other/original/seed0/ready/quantized"
    ]
    assert plan.evaluation.quantized_by("checkpoint") == "ready"
    assert plan.evaluation.quantized_by("gptqmodel") == "(?!)"
