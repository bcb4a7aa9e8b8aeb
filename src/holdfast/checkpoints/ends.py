"""The tokens that begin, end and pad texts: all that is kept of a checkpoint's generation settings.

What else ``generation_config.json`` says (temperatures, beams, penalties) is about sampling, which
nothing here does; transformers refuses to load some of it and to save more of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from holdfast.errors import HoldfastError

GENERATION_FILE = "generation_config.json"
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def generation_tokens(folder: Path) -> GenerationConfig:
    """Return the tokens of ``generation_config.json`` or, without one, of ``config.json``.

    A negative number stands for no token.

    Raises:
        HoldfastError: the file is no JSON object, or a token is no number.
    """
    path = folder / GENERATION_FILE
    if not path.exists():
        path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError:
        settings = None
    if not isinstance(settings, Mapping):
        raise HoldfastError(f"{path} is no JSON object: correct it, or fetch it again")
    if path.name != GENERATION_FILE and isinstance(settings.get("text_config"), Mapping):
        settings = {
            **settings["text_config"],
            **{k: v for k, v in settings.items() if v is not None},
        }
    return GenerationConfig(**{name: _token(settings.get(name), path, name) for name in TOKENS})


def _token(value: Any, path: Path, name: str) -> int | list[int] | None:
    tokens = value if isinstance(value, list) else [] if value is None else [value]
    if any(isinstance(token, bool) or not isinstance(token, int) for token in tokens):
        raise HoldfastError(f"{path}: {name} is {value!r}, but a token is a number; correct it")
    known = [token for token in tokens if token >= 0]
    if isinstance(value, list) and name == "eos_token_id":
        return known or None
    return known[0] if known else None
