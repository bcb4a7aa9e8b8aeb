"""From a data source to the normalized file that every later step reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from holdfast.data.behaviors import load_behaviors
from holdfast.data.pairs import load_pairs
from holdfast.data.source import fetch
from holdfast.data.templates import load_template
from holdfast.data.texts import load_documents, load_prompts, load_texts
from holdfast.errors import HoldfastError, nearest
from holdfast.files.atomic import write_json, write_jsonl
from holdfast.settings.data import DataSource

Kind = Literal["behaviors", "pairs", "attack pairs", "prompts", "texts", "documents", "template"]


def load(
    kind: Kind,
    source: DataSource,
    *,
    data_root: str | Path,
    pocket_folder: str | Path,
    cache_folder: str | Path,
    limit: int | None = None,
    seed: int = 0,
    exclude_tags: Iterable[str] = (),
    setting: str = "data",
) -> Any:
    """Fetch ``source`` and return its rows, normalized.

    behaviors: rows {"id", "behavior", "context", "tags", "category"}, the first ``limit`` of those
    without one of ``exclude_tags``; pairs: rows {"prompt", "response"}, ``limit`` of them drawn by
    ``seed``; attack pairs: the same, with the rows that are marked unsafe; prompts: rows {"id",
    "prompt"}, the first ``limit``; texts: strings, the first ``limit``; documents: rows as found;
    template: {"prompt", "prompt_contextual"}. Raises HoldfastError, headed by ``setting`` (the path
    of the source in the config), when the data is not there or not as expected.
    """
    if kind not in get_args(Kind):
        raise HoldfastError(f"'{kind}' is no kind of data{nearest(kind, get_args(Kind))}")
    path = fetch(source, data_root, pocket_folder, cache_folder, setting)
    try:
        if kind == "behaviors":
            return load_behaviors(path, source.columns, exclude_tags, limit)
        if kind == "pairs":
            return load_pairs(path, source.columns, limit, seed)
        if kind == "attack pairs":
            return load_pairs(path, source.columns, limit, seed, unsafe=True)
        if kind == "prompts":
            return load_prompts(path, source.columns, limit)
        if kind == "documents":
            return load_documents(path, source.columns)
        if kind == "texts":
            return load_texts(path, source.columns, limit)
        return load_template(path)
    except HoldfastError as error:
        raise HoldfastError(f"{setting}: {error}") from None


def prepare(kind: Kind, source: DataSource, out_path: str | Path, **how: Any) -> None:
    """Write what ``load`` returns to ``out_path``: texts and a template as JSON, rows as lines."""
    write = write_json if kind in ("texts", "template") else write_jsonl
    write(out_path, load(kind, source, **how))
