"""Settings of a data file: where it comes from, how it is pinned, which part of it is used."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from holdfast.settings.base import Frozen
from holdfast.text import PathName, Repository

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
SECRET = re.compile(r"(?i)token|secret|passw|signature|credential|api[-_]?key|^sig$|^key$|auth")
SOURCES = ("pocket", "path", "url", "hub")


class DataSource(Frozen):
    """A data file: exactly one of ``pocket``, ``path``, ``url``, ``hub``."""

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
        default_factory=dict,
        description="column names in the file, by the name used here (`prompt: Goal`); public files"
        " are known without",
    )

    @model_validator(mode="after")
    def _one_pinned_source(self) -> DataSource:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            there = " and ".join(given) if given else "none"
            raise ValueError(f"give exactly one of {', '.join(SOURCES)} (found {there})")
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


class Rows(Frozen):
    """Rows of a data file."""

    source: DataSource = Field(description="the file")
    limit: int | None = Field(
        None, ge=1, description="rows used (pairs: drawn by seed 0; others: the first); null: all"
    )


class Behaviors(Rows):
    """Prompts that a safe model refuses, in HarmBench's or AdvBench's columns."""

    exclude_tags: list[str] = Field(
        ["hash_check"], description="behaviors with one of these tags are left out (section 5.1)"
    )


class ValidationPairs(Frozen):
    """Pairs like those of D_safe, for the loss and the robustness gap of a sweep's points."""

    source: DataSource | None = Field(None, description="the file; null: that of `data.safety`")
    limit: int = Field(64, ge=1, description="pairs used, drawn by seed 0 from those left")


class ValidationBehaviors(Behaviors):
    """Prompts that a safe model refuses, for the validation ASR of a sweep's points.

    Those that are among the reported behaviors by their text are dropped (AdvBench); behaviors
    with an identifier that is reported are refused (HarmBench's val split, unless
    `data.behaviors` leaves it out).
    """

    limit: int | None = Field(
        100, ge=1, description="behaviors used, drawn by seed 0 from those left; null: all"
    )


class Validation(Frozen):
    """Data that sweeps compare points on, less what training or a reported number uses."""

    pairs: ValidationPairs = Field(
        default_factory=ValidationPairs, description="held-out pairs of D_safe"
    )
    behaviors: ValidationBehaviors = Field(
        description="prompts that a safe model refuses (AdvBench goals that were not trained on)"
    )
    benign: Rows | None = Field(
        None, description="harmless prompts, for over-refusal; null: not measured"
    )


class Data(Frozen):
    """The data sets of a run."""

    max_length: int = Field(
        1536, ge=8, description="longest training pair, in tokens (Table 5); longer ones are cut"
    )
    behaviors: Behaviors = Field(description="prompts that a safe model refuses (HarmBench)")
    alignment: Rows = Field(description="pairs for first-order alignment (CB-Safety)")
    safety: Rows = Field(description="D_safe: pairs for layer scores and refinement")
    benign: Rows = Field(description="harmless prompts, for over-refusal")
    perplexity: Rows = Field(description="rows joined by blank lines, for perplexity")
    calibration: Rows = Field(description="pairs that GPTQ is calibrated on")
    validation: Validation | None = Field(
        None, description="what sweeps compare points on; required by an arm with `sweep`"
    )
