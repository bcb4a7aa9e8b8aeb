"""A checkpoint's files of weights and what their headers list; no weights are read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"(.+-)(\d+)(-of-(\d+)\.safetensors)")
AGAIN = "copy or download the checkpoint again"  # of a file that the run did not make


class Stored(NamedTuple):
    """A tensor in a file: ``dtype`` as safetensors writes it (``F32``, ``BF16``, …)."""

    dtype: str
    shape: tuple[int, ...]


Tensors = Mapping[str, Stored]


class Files(Protocol):
    """A checkpoint's files, wherever they lie; ``where`` names it in messages."""

    @property
    def where(self) -> str: ...

    @property
    def names(self) -> Collection[str]: ...

    def json(self, name: str) -> Any:
        """Return the content of a JSON file."""

    def header(self, name: str) -> dict[str, Stored]:
        """Return what a file of weights holds; HoldfastError when it is damaged."""

    def nonzero(self, name: str, tensors: Collection[str]) -> set[str]:
        """Return those of these small tensors of a file that are known not to be zeros."""


class LocalFiles:
    """The files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def names(self) -> set[str]:
        """Names of the files."""
        return {path.name for path in self._folder.iterdir()}

    def json(self, name: str) -> Any:
        """Return the content of a JSON file."""
        return read_json(self._folder / name, outside=AGAIN)

    def header(self, name: str) -> dict[str, Stored]:
        """Return what a file of weights holds; HoldfastError when it is cut off or damaged."""
        from safetensors import SafetensorError, safe_open

        shard = self._folder / name
        try:
            # Opening compares the header's offsets with the file's size.
            with safe_open(shard, framework="numpy") as file:
                parts = {tensor: file.get_slice(tensor) for tensor in file.keys()}  # noqa: SIM118
                return {
                    tensor: Stored(part.get_dtype(), tuple(part.get_shape()))
                    for tensor, part in parts.items()
                }
        except (SafetensorError, OSError) as error:
            raise HoldfastError(
                f"{shard} is cut off or damaged ({shard.stat().st_size} bytes; {error}); copy or"
                " download it again"
            ) from None

    def nonzero(self, name: str, tensors: Collection[str]) -> set[str]:
        """Return those of these small tensors of a file that are not zeros."""
        from safetensors import safe_open

        with safe_open(self._folder / name, framework="pt") as file:
            return {tensor for tensor in tensors if file.get_tensor(tensor).any()}


def stored_tensors(files: Files, *, any_name: bool = False) -> Tensors:
    """Return every tensor of a checkpoint, each header held against its file and the index.

    Args:
        files: the checkpoint's.
        any_name: take files that are not called as ``save_pretrained`` calls them, as older tools
            of quantization write them.

    Raises:
        HoldfastError: there are no weights, a file is missing, cut off or damaged, it lacks a
            tensor that the index promises, or a tensor occurs twice.
    """
    tensors: dict[str, Stored] = {}
    for name, promised in weight_files(files, any_name=any_name).items():
        if name not in files.names:
            raise HoldfastError(
                f"{files.where} lacks {name}, which {INDEX} names; copy or download the checkpoint"
                " again"
            )
        header = files.header(name)
        missing, twice = promised - header.keys(), tensors.keys() & header.keys()
        if missing:
            raise HoldfastError(
                f"{files.where}/{name} has no tensor {min(missing)}, which {INDEX} places there;"
                " copy or download the checkpoint again"
            )
        if twice:
            raise HoldfastError(
                f"{files.where} holds the tensor {min(twice)} in two files; copy or download the"
                " checkpoint again"
            )
        tensors |= header
    return tensors


def weight_files(files: Files, *, any_name: bool = False) -> dict[str, set[str]]:
    """Return the files of weights that loading reads, with what the index places in each.

    As in transformers, an index beside a ``model.safetensors`` is not read.

    Raises:
        HoldfastError: there are none, or none under a name that is looked for.
    """
    names = sorted(name for name in files.names if name.endswith(".safetensors"))
    if SINGLE in names:
        return {SINGLE: set()}
    if INDEX in files.names:
        return dict(sorted(_promised(files).items()))
    if not names:
        raise HoldfastError(
            f"{files.where} has no .safetensors file; convert the checkpoint (`save_pretrained`"
            " writes one)"
        )
    if any_name:
        return {name: set() for name in names}
    if any(map(SHARD.fullmatch, names)):
        raise HoldfastError(
            f"{files.where} has shards ({names[0]}) and no {INDEX}, which says what lies in them;"
            " copy or download it too"
        )
    raise HoldfastError(
        f"{files.where} has no {SINGLE}; rename {names[0]} to it if that holds the whole model, or"
        " save the model again with `save_pretrained`"
    )


def _promised(files: Files) -> dict[str, set[str]]:
    index = files.json(INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise HoldfastError(f"{files.where}/{INDEX} has no `weight_map`; download it again")
    promised: dict[str, set[str]] = {}
    for tensor, name in places.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise HoldfastError(f"{files.where}/{INDEX} names no file of its folder: {name!r:.80}")
        promised.setdefault(name, set()).add(tensor)
    return promised
