"""Tiny checkpoints as people have them: odd ones that load rightly, and broken ones.

``ACCEPTED`` and ``REFUSED`` hold what makes each in an empty folder, by a name that says what is
odd; a refused one has a part of the sentence that it is refused with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

import tiny_llama
from packed_folders import awq_folder, quantized

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.3,
}
Tensors = dict[str, torch.Tensor]
Maker = Callable[[Path], PreTrainedModel]


def mixtral() -> PreTrainedModel:
    torch.manual_seed(0)
    return MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=4)).eval()


def qwen3_moe() -> PreTrainedModel:
    torch.manual_seed(0)
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, **experts, head_dim=8)).eval()


def mamba() -> PreTrainedModel:
    torch.manual_seed(0)
    return MambaForCausalLM(MambaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=3)).eval()


def gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=3, n_head=2)).eval()


def qwen2() -> PreTrainedModel:
    torch.manual_seed(0)
    return Qwen2ForCausalLM(Qwen2Config(**SIZES)).eval()


def untied() -> PreTrainedModel:
    return tiny_llama.model(tied=False)


def saved(folder: Path, model: PreTrainedModel, **more: Any) -> PreTrainedModel:
    """Save a model with the word tokenizer and return it."""
    model.save_pretrained(folder, **more)
    tiny_llama.tokenizer().save_pretrained(folder)
    return model


def changed(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Write a folder's only file of weights anew."""
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(change(tensors), folder / WEIGHTS, metadata={"format": "pt"})


def edited(folder: Path, name: str = "config.json", **change: Any) -> None:
    """Change the settings in a JSON file of a folder."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def of(make: Callable[[], PreTrainedModel], *edits: Callable[[Path], Any], **more: Any) -> Maker:
    """Return what saves a model and then edits the folder."""

    def maker(folder: Path) -> PreTrainedModel:
        model = saved(folder, make(), **more)
        for edit in edits:
            edit(folder)
        return model

    return maker


def tensors(change: Callable[[Tensors], Tensors]) -> Callable[[Path], None]:
    return lambda folder: changed(folder, change)


def renamed(old: str, new: str) -> Callable[[Path], None]:
    """Replace a part of every tensor's name."""
    return tensors(lambda found: {name.replace(old, new, 1): t for name, t in found.items()})


def prefixed(prefix: str) -> Callable[[Path], None]:
    return tensors(lambda found: {prefix + name: tensor for name, tensor in found.items()})


def without(part: str) -> Callable[[Path], None]:
    return tensors(lambda found: {name: t for name, t in found.items() if part not in name})


def with_more(**more: torch.Tensor) -> Callable[[Path], None]:
    return tensors(lambda found: found | {name.replace("__", "."): t for name, t in more.items()})


def reshaped(part: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    return tensors(
        lambda found: {n: change(t).contiguous() if part in n else t for n, t in found.items()}
    )


def config(**change: Any) -> Callable[[Path], None]:
    return lambda folder: edited(folder, **change)


def moved(old: str, new: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / old).rename(folder / new)


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def written(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


def doubled(folder: Path) -> None:
    """Let a tensor lie in two shards."""
    shards = sorted(folder.glob("model-*.safetensors"))
    first, second = (load_file(shard) for shard in shards[:2])
    name = next(iter(first))
    save_file(second | {name: first[name].clone()}, shards[1], metadata={"format": "pt"})


def cut(folder: Path) -> None:
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-40])


def more_tokens(folder: Path, *, used: str = "") -> None:
    """Let the tokenizer know tokens that the model has no embedding for."""
    tokenizer = tiny_llama.tokenizer()
    tokenizer.add_tokens([AddedToken("<|new|>", special=True)])
    if used == "template":
        tokenizer.chat_template = "<|new|> " + tiny_llama.TEMPLATE
    if used == "pad":
        tokenizer.pad_token = "<|new|>"  # noqa: S105
    tokenizer.save_pretrained(folder)


def own_code(folder: Path) -> None:
    edited(folder, model_type="own", auto_map={"AutoConfig": "own.Own"})


def one_expert(number: int, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return reshaped(f"layers.1.block_sparse_moe.experts.{number}.w1.", change)


def both_names(found: Tensors) -> Tensors:
    return found | {"norm.weight": found["model.norm.weight"] * 2}


def fused(folder: Path) -> None:
    """Store a Mixtral's experts as transformers 5 holds them."""
    state = {name: tensor.clone() for name, tensor in mixtral().state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})


def base_only(found: Tensors) -> Tensors:
    return {name.removeprefix("transformer."): t for name, t in found.items()}


def rounded() -> PreTrainedModel:
    """A model whose weights bfloat16 holds."""
    model = llama()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    return model


def in_bfloat16(found: Tensors) -> Tensors:
    return {name: tensor.bfloat16() for name, tensor in found.items()}


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80")


def t5(folder: Path) -> PreTrainedModel:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_heads": 2}
    return saved(folder, T5ForConditionalGeneration(T5Config(vocab_size=40, **sizes)))


def awq(folder: Path) -> PreTrainedModel:
    awq_folder(folder)
    tiny_llama.tokenizer().save_pretrained(folder)
    return tiny_llama.model()


def left_over(method: str) -> Callable[[Path], None]:
    return lambda folder: quantized(folder, {"quant_method": method, "bits": 4, "group_size": 8})


SHARDED = {"max_shard_size": "4KB"}
FREQUENCIES = {f"model__layers__{i}__self_attn__rotary_emb__inv_freq": torch.ones(4) for i in "012"}
llama = tiny_llama.model

ACCEPTED: dict[str, Maker] = {
    "tied": of(llama),
    "untied": of(untied),
    "sharded": of(llama, **SHARDED),
    "stale index beside a single file": of(
        llama, written(INDEX, '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    ),
    "index beside unused shards": of(llama, written("consolidated.safetensors", "")),
    "settings of generation that cannot be saved": of(
        llama, written("generation_config.json", '{"do_sample": false, "temperature": 0.0}')
    ),
    "experts one by one": of(mixtral),
    "experts in one": of(mixtral, fused),
    "mamba": of(mamba),
    "biases": of(qwen2),
    "gpt2": of(gpt2),
    "gpt2 without the prefix of its base": of(gpt2, tensors(base_only)),
    "rotary frequencies of older releases": of(llama, with_more(**FREQUENCIES)),
    "prefix of the base model twice": of(llama, prefixed("model.")),
    "code of another repository that nothing runs": of(
        llama, config(auto_map={"AutoModelForCausalLM": "other/repo--modeling.Own"})
    ),
    "head stored though tied": of(
        llama,
        tensors(lambda t: t | {"lm_head.weight": t["model.embed_tokens.weight"].clone()}),
    ),
    "embedding stored as the head": of(llama, renamed("model.embed_tokens", "lm_head")),
    "stored in bfloat16": of(rounded, tensors(in_bfloat16)),
    "tokens that nothing uses": of(llama, more_tokens),
}

REFUSED: dict[str, tuple[Maker, str]] = {
    "compiled": (of(llama, prefixed("_orig_mod.")), "hold `_orig_mod.`, which torch.compile"),
    "data parallel": (of(llama, prefixed("module.")), "hold `module.`, which DataParallel"),
    "peft": (of(llama, prefixed("base_model.model.")), "hold `base_model.model.`, which peft"),
    "wrapped": (of(untied, prefixed("model.module.")), "is missing, and tensor .* is left over"),
    "fsdp": (
        of(llama, renamed("self_attn.", "_fsdp_wrapped_module.self_attn.")),
        "hold `_fsdp_wrapped_module.`, which FSDP",
    ),
    "activation checkpoints": (
        of(llama, renamed("mlp.", "_checkpoint_wrapped_module.mlp.")),
        "hold `_checkpoint_wrapped_module.`",
    ),
    "compiled mixtral": (of(mixtral, prefixed("_orig_mod.")), "hold `_orig_mod.`"),
    "compiled mamba": (of(mamba, prefixed("_orig_mod.")), "hold `_orig_mod.`"),
    "lacks a layer": (of(llama, without("layers.1.")), r"layers\.1\..* \(and 8 more\) is missing"),
    "lacks its head": (of(untied, without("lm_head")), "tensor lm_head.weight is missing"),
    "lacks its tied embedding": (of(llama, without("embed")), "is missing"),
    "lacks a norm": (of(llama, without("model.norm")), "tensor model.norm.weight is missing"),
    "lacks a bias": (of(qwen2, without("1.self_attn.q_proj.bias")), r"q_proj\.bias is missing"),
    "lacks a convolution's bias": (of(mamba, without("2.mixer.conv1d.bias")), "bias is missing"),
    "lacks all": (of(llama, tensors(lambda _: {})), "is missing"),
    "a layer too many": (of(llama, config(num_hidden_layers=2)), r"layers\.2\..* is left over"),
    "a layer too few": (of(llama, config(num_hidden_layers=4)), r"layers\.3\..* is missing"),
    "value head": (of(llama, with_more(v_head__weight=torch.ones(1, 16))), "v_head.* is left over"),
    "unmerged adapter": (
        of(llama, with_more(model__layers__0__mlp__up_proj__lora_A__weight=torch.ones(2, 16))),
        "lora_A.weight is left over",
    ),
    "a name with a typo": (of(llama, renamed("1.mlp.up_", "1.mlp.upp_")), "missing, and tensor"),
    "more rows than tokens": (
        of(llama, reshaped("embed", lambda t: torch.cat([t, t[:3]]))),
        r"has the shape \[43, 16\] where config.json asks for \[40, 16\]",
    ),
    "transposed": (of(llama, reshaped("0.mlp.up_proj", lambda t: t.T)), r"the shape \[16, 32\]"),
    "flat": (of(llama, reshaped("0.mlp.up_proj", torch.flatten)), r"the shape \[512\]"),
    "another width": (of(llama, config(hidden_size=32)), "has the shape"),
    "another number of heads": (of(llama, config(num_key_value_heads=2)), "has the shape"),
    "an expert too few": (
        of(mixtral, without("1.block_sparse_moe.experts.2.")),
        r"experts\.2\.w\d\.weight is missing, which other experts have",
    ),
    "an expert without a part": (
        of(mixtral, without("1.block_sparse_moe.experts.2.w3.")),
        r"experts\.2\.w3\.weight is missing, which other experts have",
    ),
    "experts numbered with a gap": (
        of(mixtral, renamed("experts.1.", "experts.7.")),
        r"experts\.1\.w\d\.weight is missing, which other experts have",
    ),
    "an expert of another shape": (of(mixtral, one_expert(2, lambda t: t.T)), "has the shape"),
    "more experts in config.json": (of(mixtral, config(num_local_experts=5)), "has the shape"),
    "two tensors for one place": (of(llama, tensors(both_names)), "are for one place"),
    "whole numbers": (
        of(llama, reshaped("0.mlp.up_proj", lambda t: t.to(torch.int8))),
        r"holds whole numbers \(I8\) and no weights",
    ),
    "a tensor in two shards": (of(llama, doubled, **SHARDED), "in two files"),
    "shards without an index": (of(llama, removed(INDEX), **SHARDED), f"no {INDEX}"),
    "an index without its shards": (
        of(llama, lambda folder: max(folder.glob("model-*")).unlink(), **SHARDED),
        rf"lacks model-\d+-of-\d+\.safetensors, which {INDEX} names",
    ),
    "an index of nothing": (of(llama, written(INDEX, "{}"), **SHARDED), "has no `weight_map`"),
    "another precision's name": (
        of(llama, moved(WEIGHTS, "model.fp16.safetensors")),
        "has no model.safetensors; rename model.fp16.safetensors",
    ),
    "mistral's name": (of(llama, moved(WEIGHTS, "consolidated.safetensors")), "rename consolid"),
    "cut off": (of(llama, cut), "cut off or damaged"),
    "an empty file": (of(llama, written(WEIGHTS, "")), "cut off or damaged"),
    "pickled": (of(llama, pickled), r"has no \.safetensors file"),
    "left-over quantization of GPTQ": (
        of(llama, left_over("gptq")),
        "remove `quantization_config`",
    ),
    "left-over quantization of bitsandbytes": (
        of(llama, left_over("bitsandbytes")),
        "remove `quantization_config`",
    ),
    "quantized in an unnamed way": (
        lambda folder: (awq(folder), quantized(folder, {"bits": 4}))[0],
        "names no quant_method",
    ),
    "quantized": (awq, "perturbation of kind `checkpoint`"),
    "a template with unknown tokens": (
        of(llama, lambda folder: more_tokens(folder, used="template")),
        r"uses '<\|new\|>', token 40, and the model has embeddings for 40 tokens",
    ),
    "an unknown padding token": (
        of(llama, lambda folder: more_tokens(folder, used="pad")),
        r"uses '<\|new\|>', token 40",
    ),
    "no chat template": (of(llama, removed("chat_template.jinja")), "no chat template"),
    "no config": (of(llama, removed("config.json")), "no config.json"),
    "a torn config": (of(llama, written("config.json", '{"model_type": "ll')), "config.json"),
    "an unknown kind": (of(llama, config(model_type="unheard-of")), "not that of a language model"),
    "code of its own": (of(llama, own_code), "trust_remote_code"),
    "no decoder": (t5, "config.json"),
    "an adapter": (of(llama, written("adapter_config.json", "{}")), "is an adapter"),
}
