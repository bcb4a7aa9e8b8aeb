"""A word-level tokenizer with the chat template of the embedded world's models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from holdfast.pocket import language

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEGIN, USER, ASSISTANT, END, PAD, UNKNOWN = SPECIALS = (
    "<|begin|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<|pad|>",
    "<|unknown|>",
)
_WORD = r"\w+(?:'\w+)*|-+|\n|[^\w\s-]"

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
GUARD_TEMPLATE = (
    (
        "{{ bos_token + '<|user|>' + OPENING }}"
        "{% for message in messages %}"
        "{{ 'User' if message['role'] == 'user' else 'Agent' }}"
        "{{ ': ' + message['content'] | trim + '\n\n' }}"
        "{% endfor %}"
        "{{ CLOSING + '<|end|><|assistant|>' }}"
    )
    .replace("OPENING", repr(language.GUARD_OPENING))
    .replace("CLOSING", repr(language.GUARD_CLOSING))
)


def words(text: str) -> list[str]:
    """Split ``text`` as the tokenizer does: words, runs of dashes, newlines, punctuation marks."""
    return re.findall(_WORD, text)


def vocabulary(texts: Iterable[str]) -> list[str]:
    """Return the sorted words of ``texts``."""
    return sorted({word for text in texts for word in words(text)})


def build_tokenizer(
    vocabulary: list[str], chat_template: str = CHAT_TEMPLATE
) -> PreTrainedTokenizerFast:
    """Return the tokenizer: specials first, then ``vocabulary``; what it lacks becomes unknown."""
    # Here, since it takes seconds that the world itself can do without.
    from transformers import PreTrainedTokenizerFast

    ids = {word: index for index, word in enumerate([*SPECIALS, *vocabulary])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(Regex(r"^(?=[\w-])"), " "),
            decoders.Fuse(),
            decoders.Replace(Regex(r"(?<=[\n\[/]) "), ""),
            decoders.Replace(Regex(r"^ "), ""),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, ids[BEGIN])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
