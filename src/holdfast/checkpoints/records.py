"""What a weights folder says of itself: ``model.json`` of a base model, ``arm.json`` of an arm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    JsonValue,
    ValidationError,
    model_validator,
)

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.settings.arms import STAGES
from holdfast.settings.models import DType, Revision
from holdfast.text import PathName

MODEL_FILE = "model.json"
ARM_FILE = "arm.json"
CHECKPOINT = "checkpoint"
T = TypeVar("T", bound=BaseModel)


class BaseRecord(BaseModel):
    """What loading reads of ``model.json``; it holds more, for tables."""

    model_config = ConfigDict(strict=True, extra="allow")

    source: PathName
    revision: Revision | None
    trust_remote_code: bool
    dtype: DType
    files: dict[str, str] | None = None  # digests by name, of a checkpoint that lies elsewhere

    @model_validator(mode="after")
    def _only_pinned_code(self) -> BaseRecord:
        if self.trust_remote_code and not self.revision:
            raise ValueError("`trust_remote_code` without a revision")
        if self.revision and self.source == CHECKPOINT:
            raise ValueError("a revision of a model that the run made")
        return self


def _known_stage(stage: str) -> str:
    if stage not in STAGES:
        raise ValueError(f"no stage is called that; known: {', '.join(STAGES)}")
    return stage


class ArmRecord(BaseModel):
    """What loading reads of ``arm.json``."""

    model_config = ConfigDict(strict=True, extra="allow")

    stage: Annotated[str, AfterValidator(_known_stage)]
    parent: PathName
    settings: dict[str, JsonValue] = {}
    other: PathName | None = None  # a folder besides the parent that loading the arm reads

    def settings_of(self, stage: type[T], folder: Path) -> T:
        """Return the settings; HoldfastError when they are none of the stage's."""
        return checked(stage, self.settings, str(folder / ARM_FILE))


def checked(kind: type[T], written: object, what: str) -> T:
    """Return what was ``written`` as a ``kind``; HoldfastError, headed by ``what``, if not."""
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HoldfastError(
            f"{what} was damaged or edited ({f'{where}: ' if where else ''}{first['msg']}): delete"
            " its folder and run again"
        ) from None


def describe_arm(
    made: Path,
    weights: Path,
    stage: str,
    parent: Path,
    seed: int,
    settings: BaseModel,
    other: Path | None = None,
) -> None:
    """Write ``arm.json`` to ``made``, which will be renamed to ``weights``.

    ``other`` is a folder besides the parent that loading the arm reads.
    """
    arm = {
        "stage": stage,
        "parent": os.path.relpath(parent, weights),
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
    }
    if other:
        arm["other"] = os.path.relpath(other, weights)
    write_json(made / ARM_FILE, arm)


def base_record(folder: Path) -> dict[str, Any]:
    """Return the ``model.json`` of a base model's folder; HoldfastError when it is damaged."""
    path = folder / MODEL_FILE
    return checked(BaseRecord, read_json(path), str(path)).model_dump()


def arm_record(folder: Path) -> ArmRecord:
    """Return the ``arm.json`` of an arm's folder; HoldfastError when it is damaged."""
    path = folder / ARM_FILE
    return checked(ArmRecord, read_json(path), str(path))


def root_of(folder: Path) -> Path:
    """Return the base model's folder at the root of an arm's lineage.

    Raises:
        HoldfastError: a record on the way is missing or damaged, or the lineage goes in a circle.
    """
    seen = set()
    while not (folder / MODEL_FILE).exists():
        if folder.resolve() in seen:
            raise HoldfastError(f"{folder} descends from itself: delete it and run again")
        seen.add(folder.resolve())
        folder = beside(folder, arm_record(folder).parent)
    return folder


def beside(folder: Path, written: str) -> Path:
    """Return the folder that a record in ``folder`` names, as the run names both.

    The disk would go up from where a link leads to, and an arm may be linked to another disk.
    """
    return Path(os.path.normpath(folder / written))
