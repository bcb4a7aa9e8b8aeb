"""Whether each checkpoint is what the settings say: layers, weights, chat template, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.checkpoints.shards import check_shards
from holdfast.config import HoldfastError, Settings
from holdfast.preflight import sources
from holdfast.preflight.finding import Finding, bad, good, unseen
from holdfast.preflight.repositories import given, names, small_file
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
        yield _template(path, model, tokenizer, names(where))


def _layers(path: str, model: ModelSettings, config: dict[str, Any]) -> Finding:
    layers = config.get("text_config", config).get("num_hidden_layers")
    if layers is None:
        return bad(f"{path}: its config.json has no num_hidden_layers; take a decoder-only model")
    if model.layers is not None and model.layers != layers:
        return bad(
            f"{path}.layers: {model.layers} does not match the checkpoint, which has {layers}"
            f" decoder layers; write layers: {layers}"
        )
    return good(f"{path}: {layers} decoder layers")


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


def _text(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _template(
    path: str, model: ModelSettings, tokenizer: dict[str, Any], files: set[str]
) -> Finding:
    if tokenizer.get("chat_template") or files & {"chat_template.jinja", "chat_template.json"}:
        return good(f"{path}: has a chat template")
    return bad(
        f"{path}.{model.kind}: the tokenizer has no chat template; use an instruction-tuned"
        " checkpoint, or add its chat_template.jinja"
    )
