"""The answer of a judge that speaks one word: padding, shared beginnings, memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from holdfast.engine.cache import prefix_cache
from holdfast.errors import HoldfastError
from holdfast.judges import label_logits
from holdfast.judges.label_logits import common_prefix, read_answers, spellings
from tiny_llama import random_llama, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["Is it so? The answer is yes", "Answer: no", "maybe yes no"] * 30)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    loud = [tokenizer(word)["input_ids"][-1] for word in (" yes", " no", " maybe", "yes")]
    return random_llama(len(tokenizer), loud)


def _texts(count: int) -> list[str]:
    """Texts of 0, 1, 2, ... words."""
    words = ["alpha", "beta", "gamma", "delta", "yes", "no"]
    return [" ".join(words[(i * 7 + k * k) % 6] for k in range(i)) for i in range(count)]


def test_spellings_are_all_and_only_the_label(tokenizer: Any) -> None:
    expected = [
        token
        for token in range(len(tokenizer))
        if tokenizer.decode([token]).strip().lower() == "yes"
    ]
    assert spellings(tokenizer, "yes") == expected
    assert len(expected) >= 2
    with pytest.raises(HoldfastError, match="no token that reads 'perhaps'"):
        spellings(tokenizer, "perhaps")


def test_padding_side_and_neighbours_change_no_answer(model: Any, tokenizer: Any) -> None:
    prompts = [tokenizer(text)["input_ids"] for text in _texts(12)]
    labels = (spellings(tokenizer, "yes"), spellings(tokenizer, "no"))
    batched: dict[int, Any] = {}
    read_answers(model, dict(enumerate(prompts)), labels, 5, batched.update)
    longest = max(map(len, prompts))
    left = torch.tensor([[1] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    with torch.no_grad():
        padded_left = model(
            input_ids=left,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
        ).logits[:, -1]
        for index, prompt in enumerate(prompts):
            alone = model(input_ids=torch.tensor([prompt])).logits[0, -1]
            answer = batched[index]
            assert answer.token == int(alone.argmax()) == int(padded_left[index].argmax())
            for logits in (alone, padded_left[index]):
                odds = logits[labels[0]].logsumexp(0) - logits[labels[1]].logsumexp(0)
                assert answer.log_odds == pytest.approx(float(odds), abs=1e-3)


def _plain_logits(model: Any, prompts: list[list[int]]) -> torch.Tensor:
    """Whole prompts in one pass, padded on the right under an attention mask."""
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    input_ids = torch.zeros(len(prompts), int(lengths.max()), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        input_ids[row, : len(prompt)] = torch.tensor(prompt)
    mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
    with torch.no_grad():
        logits = model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits
    return logits[torch.arange(len(prompts)), lengths - 1].float()


SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "pad_token_id": 1,
}


def _decoder(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "windowed":
        return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=6)).double().eval()
    if kind == "learned positions":
        config = GPT2Config(
            vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.3
        )
        return GPT2LMHeadModel(config).double().eval()
    return LlamaForCausalLM(LlamaConfig(**SIZES)).double().eval()


START = [2, 40, 7, 7, 31, 12, 5, 44, 9]
PROMPTS = {
    "lengths differ": [[*START, *range(10, 10 + n)] for n in (3, 12, 1, 30, 7)],
    "one is the beginning and a token": [[*START, 8], [*START, 9, 10], [*START, *range(20, 40)]],
    "one begins another": [[*START, 8], [*START, 8, 10, 11], [*START, 8, 10]],
    "equal": [[*START]] * 3,
    "alone": [[*START]],
    "one token in common": [[2, 3, 4, 5], [2, 9], [2, 4, 3, 8, 7]],
    "nothing in common": [[2, 3, 4], [3, 3, 4, 9], [4]],
}


@pytest.mark.parametrize("kind", ["grouped heads", "learned positions", "windowed"])
@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
def test_a_shared_beginning_changes_no_logit(kind: str, prompts: list[list[int]]) -> None:
    model = _decoder(kind)
    beginning = common_prefix(prompts)
    shared = prefix_cache(model, beginning)
    assert (shared is None) == (kind == "windowed" or len(beginning) < 2)
    expected = _plain_logits(model, prompts)
    for _ in range(2):  # a batch leaves nothing behind for the next
        found = label_logits._last_logits(model, prompts, shared)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    one = label_logits._last_logits(model, prompts[:1], shared)
    torch.testing.assert_close(one, expected[:1], rtol=1e-5, atol=1e-6)


def test_float32_answers_agree_with_the_plain_computation(model: Any, tokenizer: Any) -> None:
    texts = [f"Is it so? {text} Answer:" for text in _texts(12)[1::3]]
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    labels = (spellings(tokenizer, "yes"), spellings(tokenizer, "no"))
    assert len(common_prefix(prompts)) > 4
    expected = _plain_logits(model, prompts)
    found: dict[int, Any] = {}
    read_answers(model, dict(enumerate(prompts)), labels, 3, found.update)
    yes, no = (expected[:, tokens].logsumexp(dim=1) for tokens in labels)
    for index, odds in enumerate((yes - no).tolist()):
        assert found[index].token == int(expected[index].argmax())
        assert found[index].log_odds == pytest.approx(odds, abs=1e-4)


@given(
    st.lists(st.integers(0, 2), max_size=6),
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=4),
)
def test_common_prefix_is_the_longest_that_leaves_a_token_of_each(
    start: list[int], ends: list[list[int]]
) -> None:
    prompts = [start + end for end in ends]
    found = common_prefix(prompts)
    assert all(prompt[: len(found)] == found and len(prompt) > len(found) for prompt in prompts)
    longer = {tuple(prompt[: len(found) + 1]) for prompt in prompts}
    assert len(longer) > 1 or min(map(len, prompts)) == len(found) + 1


def test_what_is_known_changes_no_batch_and_no_beginning(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, passes = label_logits._last_logits, []

    def noted(model: Any, prompts: list[Any], shared: Any) -> Any:
        passes.append((prompts, shared.get_seq_length()))
        return real(model, prompts, shared)

    monkeypatch.setattr(label_logits, "_last_logits", noted)
    start = tokenizer("Is it so?")["input_ids"]
    odd = {3: [*start, 9], 5: [*start[:-1], 9, 9]}  # 5 shortens what the others share
    prompts = {index: [*start, *range(20, 30 + index)] for index in range(3)} | odd
    labels = (spellings(tokenizer, "yes"), spellings(tokenizer, "no"))
    whole: dict[int, Any] = {}
    read_answers(model, prompts, labels, 2, whole.update)
    assert whole.keys() == prompts.keys()
    before, rest = list(passes), {}
    passes.clear()
    read_answers(model, prompts, labels, 2, rest.update, known={5, 2, 1, 3})
    assert passes == [entry for entry in before if prompts[0] in entry[0]]
    assert rest.items() <= whole.items()
    passes.clear()
    read_answers(model, prompts, labels, 2, rest.update, known=prompts)
    assert not passes


@pytest.mark.parametrize(("extra", "shares"), [(35, True), (36, False)])
def test_a_beginning_is_shared_from_an_eighth_of_all_tokens_on(
    extra: int, shares: bool, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, found = label_logits._last_logits, []

    def noted(model: Any, prompts: list[Any], shared: Any) -> Any:
        found.append(shared is not None)
        return real(model, prompts, shared)

    monkeypatch.setattr(label_logits, "_last_logits", noted)
    start = [0, 5, 6, 7, 8]
    prompts = {0: [*start, *range(50, 85)], 1: [*start, *range(90, 90 + extra)]}
    read_answers(model, prompts, ([7], [8]), 4, lambda _answers: None)
    assert found == [shares]


def test_memory_that_runs_out_on_the_beginning_is_told_by_the_batch(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = {0: [0, 5, 6, 7], 1: [0, 5, 6, 8, 9]}
    expected: dict[int, Any] = {}
    read_answers(model, prompts, ([7], [8]), 2, expected.update)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(label_logits, "prefix_cache", full)
    found: dict[int, Any] = {}
    read_answers(model, prompts, ([7], [8]), 2, found.update)
    assert {i: a.token for i, a in found.items()} == {i: a.token for i, a in expected.items()}


def test_auto_reads_no_more_tokens_at_once_than_keep_a_device_busy(
    model: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, sizes = label_logits._last_logits, []

    def counted(model: Any, prompts: list[Any], shared: Any) -> Any:
        sizes.append(len(prompts))
        return real(model, prompts, shared)

    monkeypatch.setattr(label_logits, "_last_logits", counted)
    monkeypatch.setattr(label_logits, "TOKENS_A_PASS", 50)
    prompts = {index: [0, 5, 6, *range(20, 20 + index)] for index in range(9)}
    read_answers(model, prompts, ([7], [8]), "auto", lambda _answers: None)
    assert sizes == [4, 4, 1]  # 4 prompts of 11 tokens; 8 would be 88
    assert capsys.readouterr().err == "judge: 4 rows a batch\n"


def test_out_of_memory_halves_the_batch(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = label_logits._last_logits, []

    def limited(model: Any, prompts: list[Any], shared: Any) -> Any:
        sizes.append(len(prompts))
        if len(prompts) > room:
            raise torch.OutOfMemoryError
        return real(model, prompts, shared)

    prompts = dict(enumerate(tokenizer(text)["input_ids"] for text in _texts(9)))
    labels = (spellings(tokenizer, "yes"), spellings(tokenizer, "no"))
    expected: dict[int, Any] = {}
    read_answers(model, prompts, labels, 1, expected.update)
    monkeypatch.setattr(label_logits, "_last_logits", limited)
    found: dict[int, Any] = {}
    room = 2
    read_answers(model, prompts, labels, 8, found.update)
    assert max(sizes) == 8
    assert {i: a.token for i, a in found.items()} == {i: a.token for i, a in expected.items()}
    room = 0
    with pytest.raises(HoldfastError, match="out of memory in a verdict, with one row at a time"):
        read_answers(model, prompts, labels, 8, found.update)
