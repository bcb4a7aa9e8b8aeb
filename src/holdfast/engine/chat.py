"""Chat templates: what they make of a conversation, and whether it can be asked and learnt.

A template is other people's program: some read a message's content as text, some as a list of
parts, and what they cannot read they drop without a word. So each is tried on one exchange before
anything is rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from holdfast.errors import HoldfastError

QUESTION, ANSWER = "Where did I leave my keys?", "Under the blue mat."
EXCHANGE = (("user", QUESTION), ("assistant", ANSWER))
THOUGHTS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
SHOWN = 60  # characters of a rendered text in a message


class Form(NamedTuple):
    """Whether the contents of a user's and of an assistant's message are lists of parts."""

    user: bool = False
    assistant: bool = False


FORMS = (Form(), Form(user=True, assistant=True), Form(user=True), Form(assistant=True))


class Template(Protocol):
    """What renders conversations: a tokenizer, or a checkpoint's template without one."""

    chat_template: Any

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """Return the rendered text, with ``tokenize=False``."""


_forms: WeakKeyDictionary[Template, tuple[str, Form]] = WeakKeyDictionary()


def render(
    template: Template, turns: Sequence[tuple[str, str]], *, ask: bool, form: Form | None = None
) -> str:
    """Return the text of a conversation.

    Args:
        template: a tokenizer, tried on its first use.
        turns: pairs of a role (``user``, ``assistant``, ``system``) and a text.
        ask: whether the text ends where an answer of the assistant begins.
        form: how contents are given, of a template that was tried in another way.

    Raises:
        HoldfastError: there is no template, or one that cannot be asked or learnt.
    """
    form = form or chat_form(template)
    messages = [{"role": role, "content": _content(role, text, form)} for role, text in turns]
    return str(template.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))


def chat_form(template: Template, name: str = "") -> Form:
    """Return the form in which a template keeps a user's text and the answer to it.

    Args:
        template: a tokenizer.
        name: what to call it in a message; its own name when empty.

    Raises:
        HoldfastError: a question or an answer is dropped, a conversation does not begin with its
            prompt, or the prompt ends before the answer's header or in the middle of a thought.
    """
    name = name or f"the tokenizer of {getattr(template, 'name_or_path', '')!r}"
    if not template.chat_template:
        raise HoldfastError(f"{name} has no chat template: use a chat model")
    tried = _forms.get(template)
    if tried is None or tried[0] != str(template.chat_template):
        form = _form(template, name, ask=False)
        _check_prompt(template, name, form)
        tried = _forms[template] = str(template.chat_template), form
    return tried[1]


def judge_form(template: Template, name: str) -> Form:
    """Return the form in which a judge's template keeps the two turns that are judged.

    Raises:
        HoldfastError: it drops one.
    """
    return _form(template, name, ask=True)


def _content(role: str, text: str, form: Form) -> Any:
    parts = form.assistant if role == "assistant" else form.user
    return [{"type": "text", "text": text}] if parts else text


def _form(template: Template, name: str, *, ask: bool) -> Form:
    reason, dropped = "", -1  # what went wrong in the form that went furthest
    for form in FORMS:
        try:
            rendered = render(template, EXCHANGE, ask=ask, form=form)
        except Exception as error:  # a template is a program and may raise anything
            reason = reason or str(error).strip().partition("\n")[0]
            continue
        held = [text in rendered for _, text in EXCHANGE]
        if all(held):
            return form
        dropped = max(dropped, held.index(False))
    if dropped < 0:
        raise HoldfastError(
            f"the chat template of {name} fails on a question and its answer ({reason}); correct"
            " its chat_template.jinja"
        )
    raise HoldfastError(
        f"the chat template of {name} drops the text of the {EXCHANGE[dropped][0]}, whether it is"
        " given as text or as a list of parts; correct its chat_template.jinja (a message's text is"
        " `message['content']`)"
    )


def _check_prompt(template: Template, name: str, form: Form) -> None:
    prompt = render(template, EXCHANGE[:1], ask=True, form=form)
    whole = render(template, EXCHANGE, ask=False, form=form)
    opened = _open_thought(prompt.rpartition(QUESTION)[2])
    if opened:
        start, end = opened
        raise HoldfastError(
            f"the chat template of {name} ends a prompt inside an open {start} block, so that"
            f" answers would begin with thoughts; write {end} after it where the template adds the"
            " generation prompt in chat_template.jinja, or use a model that does not think"
        )
    if not whole.startswith(prompt.rstrip()):
        pairs = enumerate(zip_longest(prompt, whole))
        parting = next(place for place, (left, right) in pairs if left != right)
        raise HoldfastError(
            f"the chat template of {name} writes {prompt[parting:][:SHOWN]!r} in a prompt where"
            f" the whole conversation has {whole[parting:][:SHOWN]!r}, so that what is learnt is"
            " not what is asked; make the two alike in its chat_template.jinja"
        )
    header = whole[len(prompt.rstrip()) :].partition(ANSWER)[0].strip()
    if header and prompt == render(template, EXCHANGE[:1], ask=False, form=form):
        raise HoldfastError(
            f"the chat template of {name} does not know `add_generation_prompt`: a prompt ends"
            f" before {header[:SHOWN]!r}, which would be part of every answer; add"
            f" `{{% if add_generation_prompt %}}{header[:SHOWN]}{{% endif %}}` at the end of its"
            " chat_template.jinja"
        )


def _open_thought(opening: str) -> tuple[str, str] | None:
    for start, end in THOUGHTS:
        if opening.rfind(start) > opening.rfind(end):
            return start, end
    return None
