"""Whether each checkpoint is what the settings say: layers, weights, chat template, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.checkpoints.code import check_no_adapter
from holdfast.checkpoints.shards import Files, LocalFiles, stored_tensors
from holdfast.config import HoldfastError, Settings
from holdfast.engine.chat import chat_form, judge_form
from holdfast.preflight import sources, templates
from holdfast.preflight.finding import Finding, bad, good, unseen
from holdfast.preflight.hub import missing
from holdfast.preflight.repositories import HubFiles, folder_of, given, names, small_file
from holdfast.settings.models import ModelSettings

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")  # by the model's own name


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
    layers = _layers(path, model, config)
    yield layers
    tokenizer = small_file(where, "tokenizer_config.json")
    others = []
    if source.tokenizer != "none":
        others.append(_padding(path, small_file(where, "special_tokens_map.json") | tokenizer))
    if source.tokenizer == "chat":
        others.append(_template(path, source, where, tokenizer))
    if layers.ok or not source.quantized:  # else it is a copy of another model
        readable = isinstance(where, Path) and bool(others) and all(one.ok for one in others)
        yield from _weights(path, source, where, tokens=readable)
    yield from others


def _weights(
    path: str, source: sources.Source, where: sources.Where, *, tokens: bool
) -> Iterator[Finding]:
    """Hold the headers of all weights, and if asked the tokens, against the configuration."""
    model, setting = source.model, f"{path}.{source.model.kind}"
    files: Files
    if isinstance(where, Path):
        files = LocalFiles(where)
    elif any(missing(names(where), tokenizer=False)):
        return  # the check of the hub says so
    else:
        files = HubFiles(*where)
    try:
        check_no_adapter(names(where), files.where, setting)
    except HoldfastError as error:
        yield bad(str(error))
        return
    if model.trust_remote_code:
        stored_tensors(files)
        yield unseen(
            f"{path}: the weights are whole; only its own code, which is not run here, says whether"
            " their tensors are the model's: the job that fetches it looks"
        )
        return
    # They import torch and transformers, which a run without such checkpoints need not wait for.
    from holdfast.checkpoints.base import checked_tokenizer, configuration
    from holdfast.checkpoints.verify import check_copy, check_model

    folder = folder_of(where)
    try:
        config = configuration(folder, setting)
    except HoldfastError as error:
        yield bad(str(error))
        return
    if source.quantized:
        check_copy(config, files)
    else:
        empty = check_model(config, files)
        if tokens:
            chat = source.tokenizer == "chat"
            try:
                checked_tokenizer(folder, setting, empty, remote=False, chat=chat)
            except HoldfastError as error:
                yield bad(str(error))
    yield good(f"{path}: the weights in {files.where} are whole, and each tensor has its place")


def _layers(path: str, model: ModelSettings, config: dict[str, Any]) -> Finding:
    decoder = config.get("text_config", config)
    layers = next((decoder[name] for name in LAYERS if name in decoder), None)
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
