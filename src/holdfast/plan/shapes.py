"""Shapes of the models of a config, as far as this machine can tell them before any job runs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from holdfast.engine.shape import ITEM_SIZE, Shape, shape_of
from holdfast.settings.models import ModelSettings, ScratchModel
from holdfast.settings.pocket import BaseModelSettings

POCKET_VOCABULARY = 512  # more than it has: its words are counted when the world is made
POCKET_CONTEXT = 512


def shape_of_model(
    settings: ModelSettings, pocket_base: ModelSettings | None = None
) -> Shape | None:
    """Return the shape of a model in a config; None where nothing on this machine tells it.

    A ``path`` has its config.json, a ``hub`` model too once a run or the preflight has fetched it
    into the hub's cache, and models that a run makes are described by their settings.

    Args:
        settings: an entry of ``models``, or a judge's model.
        pocket_base: the embedded world's base model, from whose layers its judges are cut.
    """
    if settings.pocket:
        return _made(settings.dtype, settings.pocket, POCKET_VOCABULARY, POCKET_CONTEXT)
    if settings.scratch:
        scratch = settings.scratch
        return _made(settings.dtype, scratch, scratch.vocabulary, scratch.context)
    if settings.pocket_judge:
        base = shape_of_model(pocket_base) if pocket_base else None
        if base is None:
            return None
        return replace(base, layers=settings.pocket_judge.layers, item=ITEM_SIZE[settings.dtype])
    folder = Path(settings.path).expanduser() if settings.path else _cached(settings)
    try:
        return shape_of(json.loads((folder / "config.json").read_text()), settings.dtype)
    except (OSError, ValueError, KeyError):
        return None  # not there, or not a decoder's: the stage that reads it tells what is wrong


def _made(
    dtype: str, made: BaseModelSettings | ScratchModel, vocabulary: int, context: int
) -> Shape:
    return Shape(
        layers=made.layers,
        hidden=made.hidden_size,
        inner=made.intermediate_size,
        heads=made.heads,
        cached_heads=made.heads,
        head_size=made.hidden_size // made.heads,
        vocabulary=vocabulary,
        tied=True,
        biased=False,
        item=ITEM_SIZE[dtype],
        context=context,
    )


def _cached(settings: ModelSettings) -> Path:
    """Return the folder of a hub model's snapshot in the hub's cache, whether it is there or not.

    The layout is the documented one; asking huggingface_hub for it would take longer than parsing
    a whole Snakefile does.
    """
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "huggingface"
    )
    hub = os.environ.get("HF_HUB_CACHE") or Path(home, "hub")
    assert settings.hub is not None
    assert settings.revision is not None
    name = "models--" + settings.hub.replace("/", "--")
    return Path(hub, name, "snapshots", settings.revision)
