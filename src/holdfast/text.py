"""Text from outside: what names and paths may be, and what may be shown of anything else.

Names become file names, wildcards and rule names, and Snakemake reads braces and angle brackets in
paths as its own; so these are limited where settings are read. Free text (titles, labels, what a
model wrote) may be anything, and is made harmless where it is shown.
"""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import Field

Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=64)
]
PathName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f{}<>]+$", max_length=4096)]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$", max_length=96)]

# Control characters, line separators, and the marks that turn the direction of writing.
UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
)

# Tokens of the hub, credentials in an address, and the signatures of addresses made for one use.
SECRETS = (
    (re.compile(r"hf_[A-Za-z0-9]{6,}"), "hf_***"),
    (re.compile(r"(?i)(bearer\s+)\S+"), r"\1***"),
    (re.compile(r"(\w://)[^/\s@]+@"), r"\1***@"),
    (
        re.compile(
            r"(?i)([\w-]*(?:token|secret|passw|signature|credential|policy)[\w-]*=)[^&\s\"']+"
        ),
        r"\1***",
    ),
)


def printable(text: str) -> str:
    """Return ``text`` on one line without control characters (a terminal would obey them)."""
    return encodable(UNPRINTABLE.sub(" ", text))


def encodable(text: str) -> str:
    """Return ``text`` with lone surrogates, which no encoding and no tokenizer knows, as ``?``."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def legible(text: str) -> str:
    """Return ``text`` with its lines, each of them printable."""
    return "\n".join(map(printable, text.split("\n")))


def tell(text: str) -> None:
    """Print ``text`` at once, whatever it holds."""
    print(legible(text), flush=True)


def mask(text: str) -> str:
    """Return ``text`` without hub tokens, passwords in addresses and signed addresses."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name):
            text = text.replace(os.environ[name], "***")
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text
