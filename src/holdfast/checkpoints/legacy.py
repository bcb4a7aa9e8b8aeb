"""What transformers 4, and what is built on it, reads of a folder that transformers 5 writes.

Transformers 5 writes the rotary embedding's settings, the data type and the tokenizer's class under
names that transformers 4 passes over: it then takes its defaults, without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.files.atomic import read_json

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER, SPECIAL = "tokenizer_config.json", "special_tokens_map.json"
TEMPLATE = "chat_template.jinja"
# Keys of the rotary embedding by families and years.
ROPE = (
    "rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor", "rotary_pct",
    "rotary_emb_base", "rope_pct", "original_max_position_embeddings",
)  # fmt: skip
RENAMED = {"gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}}
NEW_CLASSES = ("TokenizersBackend", "SentencePieceBackend", "PythonBackend")
ANY_FAST = "PreTrainedTokenizerFast"  # whatever tokenizer.json holds


@dataclass(frozen=True)
class Parent:
    """The files that a model and its tokenizer were loaded from; empty where there are none."""

    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    tokenizer: Mapping[str, Any]

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> Parent:
        """Return what a live model's and tokenizer's own folders hold."""
        config, generation = (_read(model.config._name_or_path, x) for x in (CONFIG, GENERATION))
        special, settings = (_read(tokenizer.name_or_path, name) for name in (SPECIAL, TOKENIZER))
        return cls(config, generation, {**special, **settings})


def write_legacy_keys(folder: Path, parent: Parent, dtype: str) -> None:
    """Write the keys that transformers 4 reads into a folder's files, beside those of 5.

    ``dtype`` is the type of the weights. The parent's padding token stays, which may be another one
    than loading has set.
    """
    config = read_json(folder / CONFIG)
    padding = parent.config.get("pad_token_id") if parent.config else config.get("pad_token_id")
    config = {**_with_rope(config, parent.config), "pad_token_id": padding}
    config |= {"dtype": dtype, "torch_dtype": dtype}
    _write(folder / CONFIG, config)
    if (folder / GENERATION).exists():
        settings = read_json(folder / GENERATION)
        if parent.generation or parent.config:
            settings["pad_token_id"] = parent.generation.get("pad_token_id", padding)
        _write(folder / GENERATION, {k: v for k, v in settings.items() if v is not None})
    if (folder / TOKENIZER).exists():
        _write(folder / TOKENIZER, _tokenizer(folder, parent.tokenizer))


def _with_rope(config: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration, and those within it, with the old keys of rotary embeddings."""
    kept = {name: before[name] for name in ROPE if name in before}
    old = _rope(config.get("rope_parameters"))
    names = RENAMED.get(config.get("model_type", ""), {})
    renamed = {names[name]: value for name, value in old.items() if name in names}
    filled = {**old, **renamed, **kept, **config}
    if isinstance(config.get("text_config"), dict):
        inner = before.get("text_config")
        within = inner if isinstance(inner, Mapping) else {}
        filled["text_config"] = _with_rope(config["text_config"], within)
    return filled


def _rope(parameters: Any) -> dict[str, Any]:
    """Return transformers 5's settings under transformers 4's names."""
    if not isinstance(parameters, Mapping):
        return {}
    if "full_attention" in parameters:  # one rotary embedding a kind of layer
        local = parameters.get("sliding_attention") or {}
        return {
            **_rope(parameters["full_attention"]),
            "rope_local_base_freq": local.get("rope_theta"),
        }
    old = {
        name: parameters[name]
        for name in ("rope_theta", "partial_rotary_factor")
        if name in parameters
    }
    scaling = {name: value for name, value in parameters.items() if name not in old}
    default = scaling.get("rope_type", "default") == "default"
    return {**old, "rope_scaling": None if default else scaling}


def _tokenizer(folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = read_json(folder / TOKENIZER)
    if settings.get("tokenizer_class") in NEW_CLASSES:
        old = before.get("tokenizer_class")
        settings["tokenizer_class"] = ANY_FAST if old in (None, *NEW_CLASSES) else old
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    if (folder / TEMPLATE).exists():
        settings["chat_template"] = (folder / TEMPLATE).read_text(encoding="utf-8")
    if (
        before
        and not before.get("pad_token")
        and settings.get("pad_token") == settings["eos_token"]
    ):
        del settings["pad_token"]
    return settings


def _write(path: Path, settings: Mapping[str, Any]) -> None:
    """Write as transformers does: in place, since the whole folder is put in its place at once."""
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _read(folder: str, name: str) -> dict[str, Any]:
    path = Path(folder) / name
    settings = read_json(path) if folder and path.is_file() else {}
    return settings if isinstance(settings, dict) else {}
