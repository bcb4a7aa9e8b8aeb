"""Whether a model has an embedding for every token that the run will feed it."""

from __future__ import annotations

from typing import Any

from holdfast.errors import HoldfastError

CONVERSATION = [{"role": "user", "content": "Hello"}]


def check_tokens(tokenizer: Any, model: Any, where: str, *, chat: bool) -> None:
    """Refuse a tokenizer that pads or writes turns with tokens beyond the model's embedding.

    A tokenizer may know more tokens than the model, as long as nothing uses them.

    Args:
        tokenizer: the checkpoint's, with a padding token.
        model: the checkpoint's; its weights may have no content.
        where: the path of the checkpoint in the config, for the messages.
        chat: whether its chat template will be used.

    Raises:
        HoldfastError: names the token.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    used = {tokenizer.pad_token_id, *tokenizer("Hello")["input_ids"]}
    if chat:
        used.update(_of_turns(tokenizer))
    beyond = sorted(token for token in used if token is not None and token >= rows)
    if beyond:
        raise HoldfastError(
            f"{where}: the tokenizer uses {tokenizer.convert_ids_to_tokens(beyond[0])!r}, token"
            f" {beyond[0]}, and the model has embeddings for {rows} tokens; take the tokenizer that"
            " belongs to the model, or the model that was trained with it"
        )


def _of_turns(tokenizer: Any) -> list[int]:
    try:
        text = tokenizer.apply_chat_template(
            CONVERSATION, add_generation_prompt=True, tokenize=False
        )
    except Exception:  # a template's own refusal is told where templates are looked at
        return []
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
