"""A checkpoint's chat template without its tokenizer: tried before anything is loaded."""

from __future__ import annotations

from typing import Any

from holdfast.preflight.repositories import small_file, small_text
from holdfast.preflight.sources import Where

TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class WrittenTemplate:
    """Renders conversations as a tokenizer with the template and the special tokens would."""

    def __init__(self, chat_template: str, tokens: dict[str, str]) -> None:
        self.chat_template = chat_template
        self.tokens = tokens

    def apply_chat_template(self, conversation: Any, **options: Any) -> str:
        """Return the rendered text of a conversation; there is nothing to tokenize it with."""
        from transformers.utils.chat_template_utils import render_jinja_template

        assert not options.pop("tokenize")
        (text,), _ = render_jinja_template(
            [conversation],
            chat_template=self.chat_template,
            **self.tokens,
            **options,
        )
        return str(text)


def written(where: Where, tokenizer: dict[str, Any]) -> WrittenTemplate | None:
    """Return the template in a checkpoint's files; None where it has none.

    ``tokenizer`` is its tokenizer_config.json. A file of the template's own goes before it, and of
    several named templates the default one is used, as transformers does.

    Raises:
        HoldfastError: a file cannot be had, or is damaged.
    """
    text = small_text(where, "chat_template.jinja")
    found = text or small_file(where, "chat_template.json").get("chat_template")
    found = found or tokenizer.get("chat_template")
    if isinstance(found, list):
        found = {entry.get("name"): entry.get("template") for entry in found}
    if isinstance(found, dict):
        found = found.get("default")
    if not isinstance(found, str) or not found:
        return None
    tokens = small_file(where, "special_tokens_map.json") | tokenizer
    return WrittenTemplate(
        found, {name: _text(tokens[name]) for name in TOKENS if tokens.get(name)}
    )


def _text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
