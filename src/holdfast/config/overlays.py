"""Configs laid over one another: what they hold together, and in which order.

Snakemake merges them too, but puts the entries of overlays before those of the default config,
which would reorder every table and shift what each job does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from holdfast.config.values import check_values
from holdfast.errors import HoldfastError


def read_config(path: str | Path) -> dict[str, Any]:
    """Return what a config file (YAML or JSON) holds, in its order.

    Raises:
        HoldfastError: there is no such file, or it is neither, or no dictionary.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
        try:
            config = json.loads(text)
        except ValueError:
            config = yaml.safe_load(text)
    except FileNotFoundError:
        raise HoldfastError(f"{path} cannot be read: there is no such file") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise HoldfastError(f"{path} cannot be read as YAML ({type(error).__name__})") from None
    if not isinstance(config, dict | None):
        raise HoldfastError(f"{path} must hold a dictionary from settings to values")
    return config or {}


def config_files(workflow: Any) -> list[Path]:
    """Return the files that Snakemake merged the config from, the lowest first."""
    given = list(workflow.overwrite_configfiles)
    return [Path(path) for path in (*workflow.configfiles[len(given) :], *given)]


def laid_over(below: Any, above: Any) -> Any:
    """Return ``below`` with ``above`` laid over it, as Snakemake does.

    Dictionaries merge, and anything else replaces what was there.
    """
    if not isinstance(above, Mapping):
        return above
    if not above:
        return below
    kept: dict[str, Any] = dict(below) if isinstance(below, Mapping) else {}
    return kept | {key: laid_over(kept.get(key, {}), value) for key, value in above.items()}


def merged(files: Sequence[str | Path]) -> dict[str, Any]:
    """Return the values of config files, the lowest first, laid over one another.

    The overlays are merged before they are laid over the lowest, which matters where one sets to
    null what a later one fills.

    Raises:
        HoldfastError: a file cannot be read, or holds what no setting can.
    """
    layers = [read_config(path) for path in files]
    for layer in layers:
        check_values(layer)
    lowest, *overlays = layers
    return laid_over(lowest, reduce(laid_over, overlays, {}))


def in_order(config: Any, layers: Sequence[Mapping[str, Any]]) -> Any:
    """Return ``config`` with the keys of the lowest layer first, then what each further one adds.

    ``layers`` are the files that it was merged from, the lowest first. All dictionaries in it are
    put in order; what is in none of the layers keeps its place, after them.
    """
    if not isinstance(config, Mapping):
        return config
    layers = [layer for layer in layers if isinstance(layer, Mapping)]
    keys = dict.fromkeys(key for layer in (*layers, config) for key in layer if key in config)
    return {
        key: in_order(config[key], [layer[key] for layer in layers if key in layer]) for key in keys
    }
