from __future__ import annotations

import random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

import tiny_llama
from holdfast.engine import batch_size, generation
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import encode_prompt
from holdfast.engine.decoding import decodes_from_cache
from holdfast.engine.generation import Completion, generate
from holdfast.errors import HoldfastError
from holdfast.numerics.noise import normal_rows
from holdfast.perturbations import activation_noise as noise_module
from holdfast.perturbations.activation_noise import activation_noise

tokenizer = tiny_llama.tokenizer()


def prompts(count: int, *, seed: int = 3) -> list[str]:
    draw = random.Random(seed)  # noqa: S311
    return [
        " ".join(f"w{draw.randrange(35)}" for _ in range(draw.randint(1, 12))) for _ in range(count)
    ]


def completions(model: torch.nn.Module, texts: list[str], **options: object) -> list[Completion]:
    found: dict[int, Completion] = {}
    options = {"max_new_tokens": 24, "batch_size": 8} | options
    generate(model, tokenizer, texts, on_done=found.__setitem__, **options)
    return [found[index] for index in range(len(texts))]


def reference(model: torch.nn.Module, prompt: str, max_new_tokens: int = 24) -> Completion:
    """One prompt, no cache, no padding: the full forward pass anew for every token."""
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
    )
    start = len(ids)
    while len(ids) < start + max_new_tokens:
        ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            new = ids[start:-1]
            return Completion(tokenizer.decode(new, skip_special_tokens=True), len(new), True)
    return Completion(
        tokenizer.decode(ids[start:], skip_special_tokens=True), max_new_tokens, False
    )


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_batches_complete_like_single_prompts_without_cache(dtype: torch.dtype) -> None:
    model = tiny_llama.model(dtype, seed=5)
    texts = prompts(21)
    expected = [reference(model, text) for text in texts]
    # Rows that stop early, at different lengths, and rows that never stop must all be there.
    assert len({entry.tokens for entry in expected}) > 4
    assert {entry.finished for entry in expected} == {True, False}
    for size in (1, 4, 21):
        assert completions(model, texts, batch_size=size) == expected


@torch.no_grad()
def test_long_completions_outgrow_the_room_of_the_cache() -> None:
    model = tiny_llama.model(torch.float64, seed=5)
    model.generation_config.eos_token_id = None
    text = prompts(3)
    ours = completions(model, text, max_new_tokens=90)
    assert ours == [reference(model, entry, 90) for entry in text]
    assert max(entry.tokens for entry in ours) == 90


@torch.no_grad()
def test_sliding_window_attention_completes_alike() -> None:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=6,
        initializer_range=0.3,
        eos_token_id=3,
    )
    model = MistralForCausalLM(config).double().eval()
    texts = [" ".join(f"w{draw}" for draw in range(start, start + 5)) for start in range(6)]
    assert completions(model, texts) == [reference(model, text) for text in texts]


@torch.no_grad()
def test_learned_positions_are_counted_without_the_padding() -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=40, n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3
    )
    model = GPT2LMHeadModel(config).double().eval()
    texts = prompts(9)
    assert completions(model, texts) == [reference(model, text) for text in texts]


@torch.no_grad()
def test_hooks_on_layers_act_in_every_step() -> None:
    model = tiny_llama.model(torch.float64)
    texts = prompts(5)
    plain = completions(model, texts)
    handle = decoder_layers(model)[1].register_forward_hook(lambda _m, _i, output: output * -1)
    assert completions(model, texts) == [reference(model, text) for text in texts] != plain
    handle.remove()


class Cramped:
    """A model that runs out of memory above ``rows`` rows."""

    def __init__(self, model: torch.nn.Module, rows: int) -> None:
        self.model, self.rows, self.refused = model, rows, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def __call__(self, **inputs: torch.Tensor) -> object:
        if len(inputs["input_ids"]) > self.rows:
            self.refused += 1
            raise torch.OutOfMemoryError
        return self.model(**inputs)


def test_batch_is_halved_when_memory_runs_out() -> None:
    model = tiny_llama.model(torch.float64)
    cramped, texts = Cramped(model, rows=3), prompts(11)
    assert completions(cramped, texts, batch_size=8) == completions(model, texts)
    assert cramped.refused > 0


def test_one_prompt_too_many_is_told() -> None:
    with pytest.raises(HoldfastError, match="out of memory in generation, with one row at a time"):
        completions(Cramped(tiny_llama.model(), rows=0), prompts(3))


class Counting:
    """A model that notes the rows and tokens of every forward pass."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model, self.shapes = model, []
        decodes_from_cache(self)
        self.shapes.clear()

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def __call__(self, **inputs: torch.Tensor) -> object:
        self.shapes.append(tuple(inputs["input_ids"].shape))
        return self.model(**inputs)

    @property
    def rows(self) -> list[int]:
        """Rows of the first pass of every batch."""
        return [rows for rows, tokens in self.shapes if tokens > 1]


def test_prompts_are_batched_by_length_longest_first() -> None:
    texts = prompts(20)
    model = Counting(tiny_llama.model())
    completions(model, texts, batch_size=6, max_new_tokens=1)
    lengths = sorted((len(encode_prompt(tokenizer, text)) for text in texts), reverse=True)
    assert model.shapes == [(6, lengths[0]), (6, lengths[6]), (6, lengths[12]), (2, lengths[18])]


def test_finished_rows_leave_the_batch() -> None:
    model = Counting(tiny_llama.model(seed=5))
    found = completions(model, prompts(21), batch_size=21)
    steps = [rows for rows, _ in model.shapes]
    assert len(steps) == max(entry.tokens + entry.finished for entry in found)
    for step, rows in enumerate(steps[1:], start=1):
        going = sum(entry.tokens + entry.finished > step for entry in found)
        assert going <= rows
        assert going > generation.KEPT_SHARE * rows
    assert steps[-1] < steps[0]


def test_auto_finds_a_batch_size_and_reports_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, texts = Counting(tiny_llama.model(seed=5)), prompts(11)
    expected = completions(model, texts, batch_size=4)
    longest = max(len(encode_prompt(tokenizer, text)) for text in texts)
    free = 5 * batch_size.row_bytes(model, longest + 24) / batch_size.SHARE
    monkeypatch.setattr(batch_size, "free_bytes", lambda _device: free)
    model.shapes.clear()
    assert completions(model, texts, batch_size="auto") == expected
    assert model.rows == [4, 4, 3]
    assert capsys.readouterr().err == "generation: 4 rows a batch\n"


def test_resumed_run_keeps_its_batches_and_reports_the_rest_once() -> None:
    texts = prompts(20)
    options = {"max_new_tokens": 8, "batch_size": 6}
    whole: dict[int, Completion] = {}
    model = Counting(tiny_llama.model())
    generate(model, tokenizer, texts, on_done=whole.__setitem__, **options)
    assert model.rows == [6, 6, 6, 2]
    done = list(whole)[:8]  # killed within the second batch
    again: dict[int, Completion] = {}
    model = Counting(tiny_llama.model())
    generate(model, tokenizer, texts, on_done=again.__setitem__, done=done, **options)
    assert model.rows == [6, 6, 2]
    assert again == {index: whole[index] for index in whole if index not in done}


def test_activation_noise_follows_its_rows_out_of_the_batch() -> None:
    model = tiny_llama.model(seed=5)
    texts = prompts(12)
    with activation_noise(model, 0.5, "token", seed=1):
        noisy = completions(model, texts, batch_size=12)
        assert completions(model, texts, batch_size=1) == noisy
    assert len({entry.tokens for entry in noisy}) > 3
    assert noisy != completions(model, texts)


def test_token_noise_is_the_same_in_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = tiny_llama.model(seed=5), prompts(7)
    decodes_from_cache(model)  # asked now, not among the noise
    drawn: dict[tuple[str, int], torch.Tensor] = {}

    def noted(rows: torch.Tensor, count: int, key: object, name: str) -> torch.Tensor:
        noise = normal_rows(rows, count, key, name)
        drawn.update(zip([(name, row) for row in rows.tolist()], noise, strict=True))
        return noise

    monkeypatch.setattr(noise_module, "normal_rows", noted)
    found = {}
    for size in (1, 3, 7):
        drawn = {}
        with activation_noise(model, 0.5, "token", seed=1):
            found[size] = completions(model, texts, batch_size=size), drawn
    alone, needed = found[1]  # without padding and finished rows: every row of noise is needed
    assert len({entry.tokens for entry in alone}) > 2
    for texts_completed, noise in found.values():
        assert texts_completed == alone
        assert all(torch.equal(noise[place], row) for place, row in needed.items())


def test_every_kind_of_stop_token_is_known() -> None:
    model = tiny_llama.model()
    model.generation_config.eos_token_id = [30, 31]
    assert generation.stop_tokens(model, tokenizer) == {30, 31, tokenizer.eos_token_id}


@torch.no_grad()
def test_logits_that_are_no_numbers_are_told_before_any_completion() -> None:
    model = tiny_llama.model(torch.float16)
    model.model.norm.weight.fill_(60000)  # overflows in the last layer, as some models do
    found: dict[int, Completion] = {}
    with pytest.raises(HoldfastError, match=r"generation: .* in float16: set `dtype: bfloat16`"):
        generate(
            model, tokenizer, prompts(5), max_new_tokens=4, batch_size=2, on_done=found.__setitem__
        )
    assert not found
