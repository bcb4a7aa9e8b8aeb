"""Whether judges and perturbations of the user's own can be imported and made."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config import HoldfastError, Settings
from holdfast.preflight.finding import Finding, bad, good
from holdfast.settings.own import OwnObject, load_own


def check(settings: Settings) -> Iterator[Finding]:
    """Import and make every object; nothing is judged or perturbed."""
    objects = own_objects(settings)
    if not objects:
        yield good("the config names no code of your own")
    for path, entry in objects.items():
        try:
            load_own(entry)
        except HoldfastError as error:
            yield bad(f"{path}.{error}")
        else:
            yield good(f"{path}.object: '{entry.object}' has a method `{entry.method}`")


def own_objects(settings: Settings) -> dict[str, OwnObject]:
    """Return the entries that are objects of the user's own, by their path in the config."""
    entries = {
        **{f"judges.{name}": judge.own for name, judge in settings.judges.items()},
        **{f"perturbations.{name}": entry.own for name, entry in settings.perturbations.items()},
    }
    return {path: own for path, own in entries.items() if own}
