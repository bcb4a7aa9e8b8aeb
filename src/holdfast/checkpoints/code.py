"""Code that a checkpoint brings along: run only where the settings allow it, at a pinned commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.checkpoints.shards import AGAIN
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json

ADAPTER = "adapter_config.json"
NAMING_CODE = ("config.json", "tokenizer_config.json")


def check_origin(folder: Path, setting: str) -> None:
    """Refuse a checkpoint of which a part would come from elsewhere, where no revision pins it.

    ``setting`` is the path of the checkpoint in the config, for the messages.

    Raises:
        HoldfastError: it is an adapter to another model, or names code of another repository.
    """
    if (folder / ADAPTER).exists():
        raise HoldfastError(
            f"{setting}: {folder} is an adapter to another model, which is not pinned ({ADAPTER});"
            " merge the two and give the merged checkpoint"
        )
    for name in NAMING_CODE:
        for reference in _references(folder / name):
            if "--" in reference:
                raise HoldfastError(
                    f"{setting}: {folder / name} names code of another repository ({reference}),"
                    " which `revision` does not pin; take a checkpoint that holds its own code"
                )


@contextmanager
def foreign_code_told(folder: str | Path) -> Iterator[None]:
    """Turn transformers' refusal to run a checkpoint's own code into one sentence."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise HoldfastError(
            f"{folder} needs Python code of its own, which is not run: only `trust_remote_code:"
            " true` of a `hub` model with a pinned `revision` allows it"
        ) from None


def _references(path: Path) -> Iterator[str]:
    """Yield the classes that ``auto_map`` of a settings file names."""
    found: Any = read_json(path, outside=AGAIN) if path.exists() else {}
    places = found.get("auto_map") if isinstance(found, dict) else None
    for value in places.values() if isinstance(places, dict) else [places]:
        for reference in value if isinstance(value, list) else [value]:
            yield str(reference or "")
