from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from transformers import GPT2Config, GPT2LMHeadModel

import tiny_llama
from holdfast.engine import batch_size
from holdfast.engine.batch_size import free_bytes, row_bytes, rows_a_batch, rows_that_fit
from holdfast.engine.cache import roomy_cache
from holdfast.settings.evaluation import Generation
from holdfast.settings.judges import LlamaGuard

TOKENS = 50


@pytest.mark.parametrize(
    ("room", "limit", "rows"),
    [
        (0.2, 256, 1),
        (1.1, 256, 1),
        (2.1, 256, 2),
        (7.9, 256, 4),
        (8.1, 256, 8),
        (8.1, 5, 4),
        (1000, 256, 64),
        (1000, 16, 16),
    ],
)
def test_rows_are_a_power_of_two_that_fits(
    room: float, limit: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_llama.model()
    free = room * row_bytes(model, TOKENS) / batch_size.SHARE
    monkeypatch.setattr(batch_size, "free_bytes", lambda _device: free)
    assert rows_that_fit(model, TOKENS, limit) == rows


def test_a_gpu_takes_more_rows_and_its_kept_memory_counts_as_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, device = tiny_llama.model(), torch.device("cuda", 0)
    each = int(row_bytes(model, TOKENS) / batch_size.SHARE) + 1
    monkeypatch.setattr(batch_size, "input_device", lambda _model: device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (60 * each, 10**12))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 100 * each)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 30 * each)
    assert free_bytes(device) == 130 * each
    assert rows_that_fit(model, TOKENS, 256) == 128
    assert rows_that_fit(model, TOKENS // 10, 256) == 256


def test_processors_have_what_the_host_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "available_memory", lambda: 500)
    assert free_bytes(torch.device("cpu")) == 500


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_is_at_least_its_cache_and_its_logits(dtype: torch.dtype) -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2)).to(dtype)
    for model in (tiny_llama.model(dtype), gpt2):
        cache = roomy_cache(model.config)
        ids = torch.zeros(3, TOKENS, dtype=torch.long)
        logits = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        needed = (held + logits.nbytes + logits.float().nbytes) / 3
        assert needed < row_bytes(model, TOKENS) < 20 * needed
    wide, narrow = tiny_llama.model(torch.float32), tiny_llama.model(torch.bfloat16)
    assert row_bytes(wide, TOKENS) > 1.5 * row_bytes(narrow, TOKENS)


def test_a_number_is_taken_as_it_is_and_auto_is_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tiny_llama.model()
    assert rows_a_batch(1000, model, TOKENS, 256, "judge") == 1000
    assert capsys.readouterr().err == ""
    assert rows_a_batch("auto", model, TOKENS, 256, "judge") == 64  # the limit of processors
    assert capsys.readouterr().err == "judge: 64 rows a batch\n"


def test_settings_take_a_number_or_auto() -> None:
    guard = {"kind": "llamaguard", "model": {"path": "judge"}}
    for made in (Generation.model_validate, lambda row: LlamaGuard.model_validate(guard | row)):
        assert made({}).batch_size == "auto"
        assert made({"batch_size": 3}).batch_size == 3
        for wrong in (0, "many"):
            with pytest.raises(ValidationError):
                made({"batch_size": wrong})
