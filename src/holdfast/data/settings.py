"""Settings of a data file: where it comes from, how it is pinned, which part of it is used."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from holdfast.text import PathName, Repository

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
SECRET = re.compile(r"(?i)token|secret|passw|signature|credential|api[-_]?key|^sig$|^key$|auth")
SOURCES = ("pocket", "path", "url", "hub")


class DataSource(BaseModel):
    """A data file: exactly one of ``pocket``, ``path``, ``url``, ``hub``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pocket: str | None = Field(
        None, pattern=r"^[\w.-]+$", description="file name in the embedded world"
    )
    path: PathName | None = Field(
        None, description="local file: absolute, from `~`, or relative to `data_root`"
    )
    url: str | None = Field(
        None, pattern=r"^(https|file)://", description="https:// or file:// address; needs `sha256`"
    )
    hub: Repository | None = Field(
        None, description="Hugging Face dataset id; needs `revision` and `file`"
    )
    revision: Commit | None = Field(
        None, description="commit of the hub dataset, 40 hexadecimal digits"
    )
    file: str | None = Field(None, min_length=1, description="file inside the hub dataset")
    sha256: Digest | None = Field(
        None, description="digest that the file must have, 64 hexadecimal digits"
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="column names in the file, by the name used here"
    )

    @model_validator(mode="after")
    def _one_pinned_source(self) -> DataSource:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(f"give exactly one of {', '.join(SOURCES)} (found {found})")
        if self.url and not self.sha256:
            raise ValueError("`url` needs `sha256`, the digest of the file")
        if self.url and _holds_secret(self.url):
            raise ValueError(
                "`url` holds a password or token, and settings are stored with the results: "
                "download the file and give it as `path`"
            )
        if self.hub and not (self.revision and self.file):
            raise ValueError("`hub` needs `revision` (the 40-digit commit to pin) and `file`")
        if not self.hub and (self.revision or self.file):
            raise ValueError("`revision` and `file` belong to `hub`; remove them")
        return self

    @property
    def needs_root(self) -> bool:
        """Whether the file is sought in ``data_root``."""
        return self.path is not None and not _home(self.path).is_absolute()

    def local(self, data_root: str | Path) -> Path:
        """Return where the file of ``path`` is."""
        return Path(data_root) / _home(str(self.path))


def _home(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises for unknown users)


def _holds_secret(url: str) -> bool:
    parts = urlsplit(url)
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    return "@" in parts.netloc or any(map(SECRET.search, names))
