"""Names that users give: parts of paths, of targets and of wildcards; and what they refer to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from holdfast.errors import HoldfastError, nearest

Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=64)
]


def known(path: str, name: str, catalogue: Iterable[str]) -> None:
    """Raise HoldfastError, with the nearest name, when the setting at ``path`` names nothing."""
    catalogue = list(catalogue)
    if name not in catalogue:
        hint = nearest(name, catalogue) or f"; known: {', '.join(catalogue) or 'none'}"
        raise HoldfastError(f"{path}: '{name}' does not exist{hint}")
