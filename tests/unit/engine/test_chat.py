"""What chat templates do to a question and its answer, on templates written here."""

from __future__ import annotations

from typing import Any

import pytest

import tiny_llama
from holdfast.engine.batches import encode_pair, encode_prompt
from holdfast.engine.chat import Form, chat_form, judge_form, render
from holdfast.errors import HoldfastError

PARTS = "{% for p in m['content'] %}{{ p.text }}{% endfor %}"
STRICT = (  # refuses what is no list
    "{% if m['content'] is string %}{{ raise_exception('a list of parts is needed') }}{% endif %}"
)
LOOP = (
    "{% for m in messages %}<{{ m['role'] }}> CONTENT "
    "{% if m['role'] == 'assistant' %}<end>{% endif %}{% endfor %}"
)
ASK = "{% if add_generation_prompt %}<assistant>{% endif %}"
TEXT = "{{ m['content'] }}"
ANSWER_ALONE = "{% if m['role'] == 'assistant' %}{{ m['content'] }}{% endif %}"
QUESTION_ALONE = "{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}"


def _tokenizer(content: str = TEXT, loop: str = LOOP, ask: str = ASK) -> Any:
    tokenizer = tiny_llama.tokenizer()
    tokenizer.chat_template = loop.replace("CONTENT", content) + ask
    return tokenizer


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (TEXT, Form()),
        (PARTS, Form(user=True, assistant=True)),
        (STRICT + PARTS, Form(user=True, assistant=True)),
        (
            "{% if m['role'] == 'user' %}" + PARTS + "{% else %}" + TEXT.join(["{% if m['content'] "
            "is string %}", "{% endif %}{% endif %}"]),
            Form(user=True),
        ),
    ],
)  # fmt: skip
def test_the_text_gets_through_in_the_form_that_the_template_reads(
    content: str, form: Form
) -> None:
    tokenizer, plain = _tokenizer(content), _tokenizer()
    assert chat_form(tokenizer) == form
    assert encode_prompt(tokenizer, "w1 w2") == encode_prompt(plain, "w1 w2")
    assert encode_pair(tokenizer, "w1", "w2", 99) == encode_pair(plain, "w1", "w2", 99)


REFUSED: dict[str, tuple[Any, str]] = {
    "no user": (_tokenizer(ANSWER_ALONE), "drops the text of the user, whether .*; correct its"),
    "no assistant": (_tokenizer(QUESTION_ALONE), "drops the text of the assistant"),
    "constant": (_tokenizer("w1"), "drops the text of the user"),
    "fails": (_tokenizer("{{ raise_exception('only tools') }}"), r"fails on .* \(only tools\);"),
    "no JSON of jinja": (_tokenizer("{{ m['content'] "), "fails on a question and its answer"),
    "no generation prompt": (
        _tokenizer(ask=""),
        r"does not know `add_generation_prompt`: a prompt ends before '<assistant>', .*"
        r"`{% if add_generation_prompt %}<assistant>{% endif %}`",
    ),
    "open thought": (
        _tokenizer(ask=ASK.replace("<assistant>", "<assistant><think>\n")),
        "ends a prompt inside an open <think> block, .* write </think> after it",
    ),
    "another header": (
        _tokenizer(ask=ASK.replace("<assistant>", "<bot>")),
        "writes 'bot>' in a prompt where the whole conversation has 'assistant> Under",
    ),
    "none": (_tokenizer("", "", ""), "has no chat template: use a chat model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_template_that_cannot_be_asked_is_refused_once_and_every_time(case: str) -> None:
    tokenizer, sentence = REFUSED[case]
    for _ in range(2):
        with pytest.raises(HoldfastError, match=sentence):
            encode_prompt(tokenizer, "w1")


ALLOWED = {
    "header in the user's turn": ("{% for m in messages %}{% if m['role'] == 'user' %}[I] {{ m"
        "['content'] }} [/I]{% else %} {{ m['content'] }}</s>{% endif %}{% endfor %}", ""),
    "closed thought": (LOOP.replace("<{{ m['role'] }}>", "<{{ m['role'] }}>{% if m['role'] == "
        "'assistant' %}<think></think>{% endif %}"), ASK.replace(">{%", "><think></think>{%")),
    "thought of the answer": (LOOP.replace("CONTENT", "{% if m['role'] == 'assistant' %}<think>"
        "</think>{% endif %}CONTENT"), ASK),
    "channels": (LOOP.replace("> CONTENT", ">{% if m['role'] == 'assistant' %}<final>{% endif %} "
        "CONTENT"), ASK),
    "white space after the prompt": (LOOP, ASK.replace("<assistant>", "<assistant>\n\n\n")),
    "an end without a prompt": (LOOP, "{% if add_generation_prompt %}<assistant>{% else %}<end>"
        "{% endif %}"),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_templates_of_good_models_pass(case: str) -> None:
    loop, ask = ALLOWED[case]
    assert chat_form(_tokenizer(loop=loop, ask=ask)) == Form()


def test_a_thought_in_the_question_is_not_one_of_the_template() -> None:
    assert encode_prompt(_tokenizer(), "<think> w1")


def test_another_template_is_tried_again() -> None:
    tokenizer = _tokenizer()
    assert chat_form(tokenizer) == Form()
    tokenizer.chat_template = LOOP.replace("CONTENT", PARTS) + ASK
    assert chat_form(tokenizer) == Form(user=True, assistant=True)
    assert "w1" in render(tokenizer, [("user", "w1")], ask=True)


def test_a_judge_needs_both_turns_before_its_own() -> None:
    assert judge_form(_tokenizer(ask=ASK.replace("<assistant>", "<judge>")), "x") == Form()
    assert judge_form(_tokenizer(PARTS), "x") == Form(user=True, assistant=True)
    with pytest.raises(HoldfastError, match="the chat template of x drops the text of the assis"):
        judge_form(_tokenizer(QUESTION_ALONE), "x")
