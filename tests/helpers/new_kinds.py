"""A kind that Holdfast does not have, added as its two places: settings, and a module of its name.

The settings come in when Python starts, before anything reads a config, so that Snakemake and all
of its jobs know the kind as if it stood in ``settings/<catalogue>.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def add_kind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, room: str, settings: str, **modules: str
) -> None:
    """Let the processes that start from here on know a kind.

    ``settings`` is what would be added to ``holdfast.settings.<room>``, and ``modules`` are the
    files, by name, that would be added to ``holdfast.<room>``.
    """
    files = folder / "added" / room
    files.mkdir(parents=True)
    for name, source in modules.items():
        (files / f"{name}.py").write_text(source, encoding="utf-8")
    (folder / "added" / f"{room}.txt").write_text(settings, encoding="utf-8")
    (folder / "added" / "sitecustomize.py").write_text(
        f"""
from pathlib import Path
import holdfast.{room}
import holdfast.settings.{room} as catalogue

here = Path(__file__).parent
holdfast.{room}.__path__.append(str(here / "{room}"))
exec((here / "{room}.txt").read_text(), catalogue.__dict__)
""",
        encoding="utf-8",
    )
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder / "added"), path])))
