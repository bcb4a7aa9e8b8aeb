"""Cells of arms beside cells of reference arms: what tables, figures and claims have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.errors import HoldfastError, nearest
from holdfast.settings.cells import All, Level, Reference, level_name
from holdfast.settings.names import known
from holdfast.settings.reads import Run


class Shown(Protocol):
    """Some cells of an arm, and what they are compared with."""

    @property
    def arm(self) -> str: ...
    @property
    def reference(self) -> Reference | None: ...
    @property
    def perturbations(self) -> All | list[str]: ...
    @property
    def levels(self) -> dict[str, list[Level]]: ...


def perturbations_of(run: Run, wanted: All | Sequence[str]) -> list[str]:
    """Return the perturbations that are shown."""
    return list(run.perturbations) if wanted == "all" else list(wanted)


def summaries_of(
    run: Run, sections: Sequence[Shown], controls: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return the perturbations under which sections, with their references, show each arm.

    A control is needed where its parent is a reference.
    """
    shown: dict[str, list[str]] = {}
    for section in sections:
        wanted = perturbations_of(run, section.perturbations)
        shown.setdefault(section.arm, []).extend(wanted)
        reference = section.reference
        if reference:
            under = ["none"] if reference.perturbation == "none" else wanted
            shown.setdefault(reference.arm, []).extend(under)
            for control in controls:
                if _parent(run, control) == reference.arm:
                    shown.setdefault(control, []).extend(under)
    return shown


def levels_of(run: Run, sections: Sequence[Shown]) -> dict[str, set[str]]:
    """Return the levels that sections show, by perturbation."""
    shown: dict[str, set[str]] = {}
    for section in sections:
        for name in perturbations_of(run, section.perturbations):
            tested = [level for level, _ in run.perturbations[name].cells]
            levels = section.levels.get(name) or tested
            shown.setdefault(name, set()).update(map(level_name, levels))
    return shown


def check_sections(run: Run, sections: Sequence[tuple[str, Shown]]) -> None:
    """Raise HoldfastError at the first name in sections, each with its path, that is unknown."""
    for path, section in sections:
        known(f"{path}.arm", section.arm, run.arms)
        check_cells(run, path, section.perturbations, section.levels)
        if section.reference:
            known(f"{path}.reference.arm", section.reference.arm, run.arms)
            if section.reference.perturbation == "none":
                known(f"{path}.reference", "none", run.perturbations)


def check_cells(
    run: Run,
    path: str,
    perturbations: All | Sequence[str],
    levels: Mapping[str, Sequence[Level]],
) -> None:
    """Raise HoldfastError at the first perturbation or level that does not exist."""
    for name in perturbations_of(run, perturbations):
        known(f"{path}.perturbations", name, run.perturbations)
    for name, wanted in levels.items():
        known(f"{path}.levels", name, run.perturbations)
        have = [level for level, _ in run.perturbations[name].cells]
        for level in wanted:
            known(f"{path}.levels.{name}", level_name(level), have)


def check_controls(run: Run, path: str, sections: Sequence[Shown], controls: Sequence[str]) -> None:
    """Raise HoldfastError at the first control that does not exist or is no control of a section.

    It must be made from an arm that some section is compared with.
    """
    references = {section.reference.arm for section in sections if section.reference}
    for name in controls:
        if name not in run.arms:
            hint = nearest(name, run.arms) or f"; known: {', '.join(run.arms)}"
            raise HoldfastError(f"{path}.controls: '{name}' does not exist{hint}")
        parent = _parent(run, name)
        if parent not in references:
            raise HoldfastError(
                f"{path}.controls: '{name}' is made from {parent or 'nothing'}, and no section's"
                f" reference is that arm, so it is no control of any: use an arm made from"
                f" {' or '.join(sorted(references)) or 'one, and give the sections a reference'}"
            )


def _parent(run: Run, name: str) -> str | None:
    return run.arms[name].parent
