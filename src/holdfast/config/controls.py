"""Control arms of a table: they must exist, and be made from an arm that it compares with."""

from __future__ import annotations

from typing import Any

from holdfast.errors import HoldfastError, nearest
from holdfast.settings.run import Settings


def check_controls(settings: Settings, path: str, table: Any) -> None:
    """Raise HoldfastError at the first control that says nothing about any section."""
    references = {section.reference.arm for section in table.sections if section.reference}
    for name in getattr(table, "controls", ()):
        if name not in settings.arms:
            hint = nearest(name, settings.arms) or f"; known: {', '.join(settings.arms)}"
            raise HoldfastError(f"{path}.controls: '{name}' does not exist{hint}")
        parent = settings.arms[name].parent
        if parent not in references:
            raise HoldfastError(
                f"{path}.controls: '{name}' is made from {parent or 'nothing'}, and no section's"
                f" reference is that arm, so it is no control of any: use an arm made from"
                f" {' or '.join(sorted(references)) or 'one, and give the sections a reference'}"
            )
