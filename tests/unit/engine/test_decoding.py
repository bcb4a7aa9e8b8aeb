"""Decoding from a cache and anew: every family completes as transformers does without a cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    FalconMambaConfig,
    Gemma2Config,
    GPT2Config,
    JambaConfig,
    LlamaConfig,
    Mamba2Config,
    MambaConfig,
    MixtralConfig,
    Qwen3NextConfig,
    RecurrentGemmaConfig,
    Zamba2Config,
)

import tiny_llama
from holdfast.engine.decoding import decodes_from_cache
from holdfast.engine.generation import Completion, generate
from holdfast.perturbations.activation_noise import activation_noise

COMMON = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": 3,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
ATTENTION = {"intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
MAMBA_2 = {"state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 4}
LINEAR = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
CACHING = {
    "llama": LlamaConfig(**COMMON | ATTENTION),
    "gpt2": GPT2Config(**COMMON, n_embd=16, n_layer=2, n_head=2, n_positions=64),
    "mixtral": MixtralConfig(**COMMON | ATTENTION, num_local_experts=4),
    "gemma2": Gemma2Config(**COMMON | ATTENTION, head_dim=8, sliding_window=4),
    "mamba": MambaConfig(**COMMON, state_size=4),
    "mamba2": Mamba2Config(**COMMON | MAMBA_2),
    "falcon_mamba": FalconMambaConfig(**COMMON, state_size=4),
    "jamba": JambaConfig(
        **COMMON | ATTENTION, attn_layer_period=2, attn_layer_offset=1, num_experts=2,
        mamba_d_state=4, use_mamba_kernels=False,
    ),
    "qwen3_next": Qwen3NextConfig(
        **COMMON | ATTENTION | LINEAR, head_dim=8, num_experts=0,
        layer_types=["linear_attention", "full_attention"],
    ),
    "zamba2": Zamba2Config(
        **COMMON | ATTENTION | {"num_hidden_layers": 3}, mamba_d_state=4, n_mamba_heads=2,
        mamba_headdim=16, mamba_ngroups=1, chunk_size=4, hybrid_layer_ids=[1], num_mem_blocks=1,
        layers_block_type=["mamba", "hybrid", "mamba"], use_mamba_kernels=False,
    ),
}  # fmt: skip
# Keeps its states in its own modules, where rows cannot be taken out.
NOT_CACHING = {
    "recurrent_gemma": RecurrentGemmaConfig(
        **COMMON | ATTENTION | {"num_hidden_layers": 3}, lru_width=16, attention_window_size=8,
        head_dim=8,
    )
}  # fmt: skip
TEXTS = ["w5 w9 w12", "w1", "w30 w2 w2 w8 w7 w21 w4 w19 w11", "w6 w6", "w14 w3 w33 w20 w1"]
tokenizer = tiny_llama.tokenizer()


def built(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def completions(model: Any, texts: list[str] = TEXTS, size: int = 5) -> list[Completion]:
    done: dict[int, Completion] = {}
    generate(model, tokenizer, texts, max_new_tokens=12, batch_size=size, on_done=done.__setitem__)
    return [done[index] for index in range(len(texts))]


def reference(model: Any, text: str) -> str:
    """What transformers generates greedily, one prompt at a time, without a cache."""
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt",
        return_dict=False,
    )  # fmt: skip
    ids = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, use_cache=False,
        max_new_tokens=12, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    return tokenizer.decode(ids[0, prompt.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("name", [*CACHING, *NOT_CACHING])
def test_every_family_completes_as_it_does_without_a_cache(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = built((CACHING | NOT_CACHING)[name])
    expected = [reference(model, text) for text in TEXTS]
    assert len(set(expected)) > 1
    capsys.readouterr()
    assert [entry.text for entry in completions(model)] == expected
    said = capsys.readouterr().err
    if name in CACHING:
        assert decodes_from_cache(model)
        assert said == ""
    else:
        assert said.startswith("RecurrentGemmaForCausalLM: every new token is computed from the")
        assert said.count("\n") == 1


def test_a_model_that_ignores_its_cache_is_decoded_anew() -> None:
    model = built(CACHING["llama"])
    whole = completions(model)
    deaf = built(CACHING["llama"])
    forward = deaf.forward
    deaf.forward = lambda *inputs, past_key_values=None, **named: forward(
        *inputs, **{name: given for name, given in named.items() if name == "input_ids"}
    )
    assert not decodes_from_cache(deaf)
    assert completions(deaf) == whole


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_rounding_is_no_reason_to_go_without_a_cache(dtype: torch.dtype) -> None:
    for seed in range(5):
        assert decodes_from_cache(tiny_llama.model(dtype, seed=seed))


@pytest.mark.parametrize("name", ["mamba2", "jamba", "recurrent_gemma"])
def test_noise_meets_the_same_texts_whatever_the_batch(name: str) -> None:
    model = built((CACHING | NOT_CACHING)[name])
    plain = completions(model)
    with activation_noise(model, 0.5, "token", seed=1):
        noisy = completions(model)
        alone = [completions(model, [text], 1)[0] for text in TEXTS]
        expected = [reference(model, text) for text in TEXTS]
    assert noisy == alone
    assert [entry.text for entry in noisy] == expected
    assert noisy != plain


def test_the_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(CACHING["llama"])
    assert decodes_from_cache(model)
    monkeypatch.setattr(DynamicCache, "update", None)  # whatever asks again meets this
    assert decodes_from_cache(model)
