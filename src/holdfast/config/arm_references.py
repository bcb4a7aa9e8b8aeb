"""What arms refer to: their parents, layers, imitated arms, and the data of their sweeps."""

from __future__ import annotations

from holdfast.errors import HoldfastError
from holdfast.settings.arms import (
    LoxArm,
    Original,
    RandomMoveArm,
    SignFlipArm,
    SmoothedFirstOrderArm,
    ZerothOrderArm,
)
from holdfast.settings.cells import level_name
from holdfast.settings.names import known
from holdfast.settings.points import points
from holdfast.settings.run import Settings


def check_arms(settings: Settings) -> None:
    """Raise HoldfastError at the first arm whose names refer to nothing, or go in a circle."""
    for name, arm in settings.arms.items():
        if isinstance(arm, Original):
            continue
        known(f"arms.{name}.from", arm.parent, settings.arms)
        if getattr(arm, "layers", "all") != "all":
            assert isinstance(arm, SmoothedFirstOrderArm | ZerothOrderArm)
            known(f"arms.{name}.layers", arm.layers, ["all", *settings.selections])
        if isinstance(arm, LoxArm):
            _check_base(settings, name, arm)
        elif isinstance(arm, RandomMoveArm | SignFlipArm):
            _check_like(settings, name, arm)
    for name in settings.arms:
        _check_lineage(settings, name)
    swept = {name: arm for name, arm in settings.arms.items() if getattr(arm, "sweep", None)}
    for name, arm in swept.items():
        for point in points(name, arm):
            if point.name in settings.arms:
                taken = f"this name is taken by a point of arms.{name}.sweep; rename it"
                raise HoldfastError(f"arms.{point.name}: {taken}")
    if swept:
        _check_sweeps(settings, f"arms.{min(swept)}.sweep")


def _check_base(settings: Settings, name: str, arm: LoxArm) -> None:
    known(f"arms.{name}.base", arm.base, settings.arms)
    before, entry = [arm.parent], settings.arms[arm.parent]
    while not isinstance(entry, Original) and entry.parent not in before:
        before.append(entry.parent)
        entry = settings.arms[entry.parent]
    if arm.base not in before[1:]:
        raise HoldfastError(
            f"arms.{name}.base: '{arm.base}' is not among the arms that '{arm.parent}' was made"
            f" from ({', '.join(before[1:]) or 'none'}); name the one before the alignment"
        )


def _check_like(settings: Settings, name: str, arm: RandomMoveArm | SignFlipArm) -> None:
    known(f"arms.{name}.like", arm.like, settings.arms)
    like = settings.arms[arm.like]
    if isinstance(arm, SignFlipArm) and not isinstance(like, ZerothOrderArm):
        raise HoldfastError(f"arms.{name}.like: '{arm.like}' is no zeroth-order arm; name one")
    if isinstance(like, Original) or like.parent != arm.parent:
        raise HoldfastError(
            f"arms.{name}.like: '{arm.like}' does not come from '{arm.parent}'; a control starts"
            " where the arm that it imitates starts"
        )
    if isinstance(like, RandomMoveArm | SignFlipArm):
        raise HoldfastError(f"arms.{name}.like: '{arm.like}' is a control itself; name its `like`")


def _check_sweeps(settings: Settings, needed_by: str) -> None:
    if settings.data.validation is None:
        raise HoldfastError(f"data.validation: this setting is required by {needed_by}")
    for name, levels in settings.sweeps.perturbations.items():
        path = f"sweeps.perturbations.{name}"
        known("sweeps.perturbations", name, settings.perturbations)
        entry = settings.perturbations[name]
        if entry.stored:
            raise HoldfastError(
                f"{path}: points are scored without quantized copies; name a perturbation of a"
                " live model (fake_quant, weight_noise or activation_noise)"
            )
        if entry.kind == "none":
            raise HoldfastError(f"{path}: unperturbed ASR is always taken; leave this out")
        for level in levels:
            known(path, level_name(level), [cell for cell, _ in entry.cells])


def _check_lineage(settings: Settings, name: str) -> None:
    seen, arm = [name], settings.arms[name]
    while not isinstance(arm, Original):
        if arm.parent in seen:
            raise HoldfastError(
                f"arms.{name}.from: the arms {' -> '.join([*seen, arm.parent])} go in a circle;"
                " one of them must come from an arm whose stage is `original`"
            )
        seen.append(arm.parent)
        arm = settings.arms[arm.parent]
