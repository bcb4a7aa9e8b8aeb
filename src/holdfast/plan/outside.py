"""What a run reads from outside: known by its content, which its stages take as parameters.

A checkpoint's folder or a data file that is replaced in place keeps its path; its date may be older
than what was made of it. A hub's files are known by the commit that is pinned, and a file with a
``sha256`` in the config by that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.files.identity import digests
from holdfast.files.model_files import model_digests
from holdfast.settings.data import DataSource
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbation import Variant


@dataclass(frozen=True)
class Outside:
    """Digests of what lies outside the results, each computed once for all jobs of a plan."""

    _known: dict[str, str | None] = field(default_factory=dict)

    def models(self, models: Iterable[ModelSettings | Variant]) -> list[str]:
        """Digests of those checkpoints that are folders of the user's; none for others.

        What cannot be read has none: the stage that reads it says what is wrong.
        """
        given = (self._digest(model.path, _of_folder) for model in models if model.path)
        return [digest for digest in given if digest]

    def data(self, sources: Iterable[DataSource], data_root: str) -> list[str]:
        """Digests of those sources that are files of the user's; none for others.

        A file that has the digest that the config says adds nothing to the config.
        """
        given = (
            (source.sha256, self._digest(str(source.local(data_root)), _of_file))
            for source in sources
            if source.path
        )
        return [digest for pinned, digest in given if digest and digest != pinned]

    def _digest(self, path: str, compute: Callable[[Path], str]) -> str | None:
        if path not in self._known:
            self._known[path] = None
            with suppress(OSError, RuntimeError):  # such as a home folder of nobody
                self._known[path] = compute(Path(path).expanduser())
        return self._known[path]


def _of_folder(path: Path) -> str:
    return hashlib.sha256(json.dumps(model_digests(path), sort_keys=True).encode()).hexdigest()


def _of_file(path: Path) -> str:
    return digests([path])[path]
