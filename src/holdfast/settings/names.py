"""Names in the settings that must exist elsewhere in them."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.errors import HoldfastError, nearest


def known(path: str, name: str, catalogue: Iterable[str]) -> None:
    """Raise HoldfastError, with the nearest name, when the setting at ``path`` names nothing."""
    catalogue = list(dict.fromkeys(catalogue))
    if name not in catalogue:
        hint = nearest(name, catalogue) or f"; known: {', '.join(catalogue) or 'none'}"
        raise HoldfastError(f"{path}: '{name}' does not exist{hint}")
