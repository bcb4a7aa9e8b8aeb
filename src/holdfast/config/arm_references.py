"""What arms refer to: their parents, layers, imitated arms, and the data of their sweeps."""

from __future__ import annotations

from holdfast.errors import HoldfastError
from holdfast.settings.cells import level_name
from holdfast.settings.names import known
from holdfast.settings.points import points
from holdfast.settings.run import Settings


def check_arms(settings: Settings) -> None:
    """Raise HoldfastError at the first arm whose names refer to nothing, or go in a circle."""
    for name, arm in settings.arms.items():
        for setting, named in arm.named.items():
            known(f"arms.{name}.{setting}", named, settings.arms)
        if arm.selection is not None:
            known(f"arms.{name}.layers", arm.selection, ["all", *settings.selections])
    for name, arm in settings.arms.items():
        arm.check(f"arms.{name}", settings.arms)
    for name in settings.arms:
        _check_lineage(settings, name)
    swept = {name: arm for name, arm in settings.arms.items() if arm.swept}
    for name, arm in swept.items():
        for point in points(name, arm):
            if point.name in settings.arms:
                taken = f"this name is taken by a point of arms.{name}.sweep; rename it"
                raise HoldfastError(f"arms.{point.name}: {taken}")
    if swept:
        _check_sweeps(settings, f"arms.{min(swept)}.sweep")


def _check_sweeps(settings: Settings, needed_by: str) -> None:
    if settings.data.validation is None:
        raise HoldfastError(f"data.validation: this setting is required by {needed_by}")
    for name, levels in settings.sweeps.perturbations.items():
        path = f"sweeps.perturbations.{name}"
        known("sweeps.perturbations", name, settings.perturbations)
        entry = settings.perturbations[name]
        if entry.unfit_for_sweeps:
            raise HoldfastError(f"{path}: {entry.unfit_for_sweeps}")
        for level in levels:
            known(path, level_name(level), [cell for cell, _ in entry.cells])


def _check_lineage(settings: Settings, name: str) -> None:
    seen, parent = [name], settings.arms[name].parent
    while parent is not None:
        if parent in seen:
            raise HoldfastError(
                f"arms.{name}.from: the arms {' -> '.join([*seen, parent])} go in a circle;"
                " one of them must come from an arm whose stage is `original`"
            )
        seen.append(parent)
        parent = settings.arms[parent].parent
