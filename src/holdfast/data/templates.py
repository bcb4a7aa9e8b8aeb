"""The HarmBench classifier's template: other people's text, so it is data and not our source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from holdfast.data.formats import parse, read_text
from holdfast.errors import HoldfastError

LITERAL = "LLAMA2_CLS_PROMPT"
FIELDS = {
    "prompt": ("behavior", "generation"),
    "prompt_contextual": ("context", "behavior", "generation"),
}


def load_template(path: Path) -> dict[str, str]:
    """Return ``{"prompt", "prompt_contextual"}`` from a JSON file or HarmBench's eval_utils.py.

    The Python file is parsed, never executed. Raises HoldfastError when a template or one of its
    places ({behavior}, {generation}, {context}) is missing.
    """
    value = _literal(path) if path.suffix == ".py" else parse(path, read_text(path))
    for name, fields in FIELDS.items():
        template = value.get(name) if isinstance(value, dict) else None
        if not isinstance(template, str):
            raise HoldfastError(f"{path} holds no template '{name}'")
        try:
            filled = template.format(**{field: f"\0{field}\0" for field in fields})
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):
            filled = ""
        if not all(filled.count(f"\0{field}\0") == 1 for field in fields):
            places = ", ".join(f"{{{field}}}" for field in fields)
            raise HoldfastError(f"{path}: template '{name}' must hold each of {places} once")
    return {name: value[name] for name in FIELDS}


def _literal(path: Path) -> Any:
    try:
        module = ast.parse(read_text(path))
        for node in module.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == LITERAL for target in node.targets
            ):
                return ast.literal_eval(node.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise HoldfastError(f"{path}: {LITERAL} cannot be read ({type(error).__name__})") from None
    raise HoldfastError(f"{path} does not define {LITERAL}")
