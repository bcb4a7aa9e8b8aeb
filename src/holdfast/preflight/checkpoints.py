"""Whether each checkpoint is what the settings say: layers, weights, chat template, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.checkpoints.shards import check_shards
from holdfast.config import HoldfastError, Settings
from holdfast.engine.chat import chat_form, judge_form
from holdfast.preflight import sources, templates
from holdfast.preflight.finding import Finding, bad, good, unseen
from holdfast.preflight.repositories import given, small_file
from holdfast.settings.models import ModelSettings


def check(settings: Settings) -> Iterator[Finding]:
    """Yield the findings on each checkpoint of the hub or of a local folder."""
    for path, source in sources.checkpoints(settings).items():
        model, where = source.model, source.where
        if where is None:
            yield good(f"{path}: made by the run ({model.kind})")
        elif isinstance(where, tuple) and not given(*where, "model"):
            yield unseen(f"{path}: not looked into, since the hub does not give it")
        else:
            try:
                yield from _findings(path, source, where)
            except HoldfastError as error:
                yield bad(f"{path}.{model.kind}: {error}")


def _findings(path: str, source: sources.Source, where: sources.Where) -> Iterator[Finding]:
    model = source.model
    config = small_file(where, "config.json")
    if not config:
        yield bad(
            f"{path}.{model.kind}: {model.path or model.hub} is not a Hugging Face model (it has"
            f" no config.json); correct `{model.kind}`"
        )
        return
    yield _layers(path, model, config)
    if isinstance(where, Path):
        try:
            check_shards(where, f"{path}.path")
            yield good(f"{path}: the weights in {where} are whole")
        except HoldfastError as error:
            yield bad(str(error))
    tokenizer = small_file(where, "tokenizer_config.json")
    if source.tokenizer != "none":
        yield _padding(path, small_file(where, "special_tokens_map.json") | tokenizer)
    if source.tokenizer == "chat":
        yield _template(path, source, where, tokenizer)


def _layers(path: str, model: ModelSettings, config: dict[str, Any]) -> Finding:
    found = config.get("text_config", config).get("num_hidden_layers")
    if found is None:
        return bad(f"{path}: its config.json has no num_hidden_layers; take a decoder-only model")
    if model.layers is not None and model.layers != found:
        return bad(
            f"{path}.layers: {model.layers} does not match the checkpoint, which has {found}"
            f" decoder layers; write layers: {found}"
        )
    return good(f"{path}: {found} decoder layers")


def _padding(path: str, tokens: dict[str, Any]) -> Finding:
    pad, end = (_text(tokens.get(name)) for name in ("pad_token", "eos_token"))
    if pad:
        return good(f"{path}: pads with its own token {pad}")
    if end:
        return good(f"{path}: has no pad token; pads with its end-of-sequence token {end}")
    return bad(
        f"{path}: the tokenizer has neither a pad nor an end-of-sequence token; set `eos_token` in"
        " its tokenizer_config.json"
    )


def _text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _template(
    path: str, source: sources.Source, where: sources.Where, tokenizer: dict[str, Any]
) -> Finding:
    template = templates.written(where, tokenizer)
    if template is None:
        return bad(
            f"{path}.{source.model.kind}: the tokenizer has no chat template; use an"
            " instruction-tuned checkpoint, or add its chat_template.jinja"
        )
    name = str(source.model.path or source.model.hub)
    if source.judges:
        judge_form(template, name)
    else:
        chat_form(template, name)
    return good(f"{path}: has a chat template, which keeps a question and its answer")
