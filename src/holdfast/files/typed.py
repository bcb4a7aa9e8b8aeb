"""JSON of a run as typed values: read strictly, or refused in one sentence that names the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, read_jsonl

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def typed(kind: type[T], value: object, where: str) -> T:
    """Return a JSON value as a ``kind``: a record, or a list or dictionary of numbers or records.

    Raises:
        HoldfastError: it is none; ``where`` says what holds the value.
    """
    try:
        return _adapter(kind).validate_python(value)  # type: ignore[arg-type]  # types do hash
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise HoldfastError(
            f"{where} is damaged or was made by another release ({place}: {first['msg']}): "
            "delete it and run again"
        ) from None


def read_typed(kind: type[T], path: str | Path) -> T:
    """Read a JSON file; raise HoldfastError naming it when it is missing, damaged or of old."""
    return typed(kind, read_json(path), str(path))


def read_rows(kind: type[M], path: str | Path) -> list[M]:
    """Read a record a line; raise HoldfastError naming the file as ``read_typed`` does."""
    return typed(list[kind], read_jsonl(path), str(path))  # type: ignore[valid-type]


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return TypeAdapter(kind)  # a record has its own config
    return TypeAdapter(kind, config=ConfigDict(strict=True))
