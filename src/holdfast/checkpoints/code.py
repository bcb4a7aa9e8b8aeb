"""Code that a checkpoint brings along: run only where the settings allow it, at a pinned commit."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.checkpoints.shards import AGAIN
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json

ADAPTER = "adapter_config.json"
NAMING_CODE = ("config.json", "tokenizer_config.json")


def check_origin(folder: Path, setting: str, *, remote: bool) -> None:
    """Refuse a checkpoint of which a part would come from elsewhere, where no revision pins it.

    ``setting`` is the path of the checkpoint in the config, for the messages; ``remote`` is whether
    code that the checkpoint names may run. Where it may not, naming it harms nobody.

    Raises:
        HoldfastError: it is an adapter to another model, or names code of another repository.
    """
    check_no_adapter([path.name for path in folder.iterdir()], str(folder), setting)
    for name in NAMING_CODE if remote else ():
        for reference in _references(folder / name):
            if "--" in reference:
                raise HoldfastError(
                    f"{setting}: {folder / name} names code of another repository ({reference}),"
                    " which `revision` does not pin; take a checkpoint that holds its own code"
                )


def check_no_adapter(names: Collection[str], where: str, setting: str) -> None:
    """Raise HoldfastError when a checkpoint is an adapter, by the names of its files."""
    if ADAPTER in names:
        raise HoldfastError(
            f"{setting}: {where} is an adapter to another model, which is not pinned ({ADAPTER});"
            " merge the two and give the merged checkpoint"
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
    config: object = read_json(path, outside=AGAIN) if path.exists() else {}
    places = config.get("auto_map") if isinstance(config, dict) else None
    for value in places.values() if isinstance(places, dict) else [places]:
        for reference in value if isinstance(value, list) else [value]:
            yield str(reference or "")
