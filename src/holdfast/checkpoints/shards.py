"""Whether a checkpoint's weights are all there: shards named by the index, files not cut off."""

from __future__ import annotations

from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json

WEIGHTS = "*.safetensors"
INDEX = "model.safetensors.index.json"
AGAIN = "copy or download the checkpoint again"  # of a file that the run did not make


def check_shards(folder: Path, setting: str) -> None:
    """Compare each shard's header with its size and with the index, reading no weights.

    ``setting`` is the path of the checkpoint in the config, for the messages.

    Raises:
        HoldfastError: there are no weights, a shard is missing, cut off or damaged, or it lacks a
            tensor that the index promises.
    """
    promised: dict[str, set[str]] = {path.name: set() for path in sorted(folder.glob(WEIGHTS))}
    if (folder / INDEX).exists():
        promised = _promised(folder / INDEX, setting)
    if not promised:
        raise HoldfastError(
            f"{setting}: {folder} has no .safetensors file; convert the checkpoint"
            " (`save_pretrained` writes one)"
        )
    for name in sorted(promised):
        missing = promised[name] - _tensors(folder / name, setting)
        if missing:
            raise HoldfastError(
                f"{setting}: {folder / name} has no tensor {min(missing)}, which {INDEX} places"
                " there; copy or download the checkpoint again"
            )


def _promised(index: Path, setting: str) -> dict[str, set[str]]:
    found = read_json(index, outside=AGAIN)
    places = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(places, dict):
        raise HoldfastError(f"{setting}: {index} has no `weight_map`; download it again")
    promised: dict[str, set[str]] = {}
    for tensor, name in places.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise HoldfastError(f"{setting}: {index} names no file of its folder: {name!r:.80}")
        promised.setdefault(name, set()).add(tensor)
    return promised


def _tensors(shard: Path, setting: str) -> set[str]:
    from safetensors import SafetensorError, safe_open

    if not shard.exists():
        raise HoldfastError(
            f"{setting}: {shard.parent} lacks {shard.name}, which {INDEX} names; copy or download"
            " the checkpoint again"
        )
    try:
        # Opening compares the header's offsets with the file's size.
        with safe_open(shard, framework="numpy") as file:
            return set(file.keys())
    except (SafetensorError, OSError) as error:
        raise HoldfastError(
            f"{setting}: {shard} is cut off or damaged ({shard.stat().st_size} bytes; {error});"
            " copy or download it again"
        ) from None
