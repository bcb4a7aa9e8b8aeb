from __future__ import annotations

import pytest

import tiny_llama
from holdfast.engine.batches import (
    collate,
    digest,
    encode_pair,
    encode_pairs,
    encode_prompt,
    end_of_turn,
    make_batches,
)
from holdfast.errors import HoldfastError

tokenizer = tiny_llama.tokenizer()


def words(ids: tuple[int, ...]) -> list[str]:
    return tokenizer.convert_ids_to_tokens(list(ids))


def test_response_and_end_of_turn_are_the_targets() -> None:
    example = encode_pair(tokenizer, "w1 w2", "w3 w4", max_length=99)
    assert words(example.input_ids) == ["<user>", "w1", "w2", "<assistant>", "w3", "w4", "<end>"]
    assert words(example.input_ids[example.labels_from :]) == ["w3", "w4", "<end>"]
    labels = collate([example], pad_id=0).labels[0].tolist()
    assert labels == [-100] * 4 + list(example.input_ids[4:])


def test_prompt_is_what_the_pair_starts_with() -> None:
    example = encode_pair(tokenizer, "w1 w2", "w3", max_length=99)
    assert encode_prompt(tokenizer, "w1 w2") == list(example.input_ids[: example.labels_from])


def test_template_without_end_of_turn_gets_eos() -> None:
    plain = tiny_llama.tokenizer()
    plain.chat_template = tiny_llama.TEMPLATE.replace(" <end>\n", "")
    example = encode_pair(plain, "w1", "w3 w4", max_length=99)
    assert words(example.input_ids[example.labels_from :]) == ["w3", "w4", "<end>"]
    assert end_of_turn(plain) == end_of_turn(tokenizer) == tokenizer.eos_token_id


def test_white_space_that_the_prompt_alone_has_still_trains_on_the_response() -> None:
    odd = tiny_llama.tokenizer()
    odd.chat_template = tiny_llama.TEMPLATE.replace("<assistant>{%", "<assistant>\n\n{%")
    example = encode_pair(odd, "w1", "w3", max_length=99)
    assert words(example.input_ids) == ["<user>", "w1", "<assistant>", "w3", "<end>"]


def test_long_pair_is_cut_and_a_prompt_without_room_is_refused() -> None:
    assert words(encode_pair(tokenizer, "w1", "w2 w3 w4", max_length=5).input_ids)[-1] == "w3"
    with pytest.raises(HoldfastError, match="max_length 3 leaves no room"):
        encode_pair(tokenizer, "w1", "w2", max_length=3)


def test_no_chat_template_is_refused() -> None:
    bare = tiny_llama.tokenizer()
    bare.chat_template = None
    with pytest.raises(HoldfastError, match="no chat template"):
        encode_prompt(bare, "w1")


def test_batches_hold_every_example_once_longest_first() -> None:
    examples = tiny_llama.examples(23)
    batches = make_batches(examples, batch_size=5)
    rows = [
        tuple(ids[mask.bool()].tolist())
        for batch in batches
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
    ]
    assert sorted(rows) == sorted(example.input_ids for example in examples)
    assert [len(row) for row in rows] == sorted(map(len, rows), reverse=True)
    assert [len(batch.input_ids) for batch in batches] == [5, 5, 5, 5, 3]


def test_padding_is_never_a_target() -> None:
    batch = collate(tiny_llama.examples(6), pad_id=0)
    assert (batch.labels[batch.attention_mask == 0] == -100).all()
    assert (batch.input_ids[batch.attention_mask == 0] == 0).all()


def test_rows_of_prompt_and_response() -> None:
    rows = [{"prompt": "w1", "response": "w2"}, {"prompt": "w3", "response": "w4"}]
    assert encode_pairs(tokenizer, rows, 9)[1] == encode_pair(tokenizer, "w3", "w4", 9)


def test_digest_tells_order_and_masks_apart() -> None:
    examples = tiny_llama.examples(3)
    assert digest(examples) == digest(list(examples))
    assert digest(examples) != digest(examples[::-1])
