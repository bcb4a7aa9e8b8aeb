"""From a merged YAML mapping to settings, or to one sentence that says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from holdfast.config.overlays import in_order, merged, read_config
from holdfast.config.references import check_references
from holdfast.config.values import check_values
from holdfast.errors import HoldfastError, nearest
from holdfast.settings.run import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DATA_ROOT = "HOLDFAST_DATA"
PLAIN = {int: "a whole number", float: "a number", str: "text"}


def load_files(files: Sequence[str | Path]) -> Settings:
    """Return the settings of config files laid over one another, the lowest first.

    Raises:
        HoldfastError: a file cannot be read, or its settings are wrong.
    """
    return load_settings(merged(files), files)


def load_settings(config: Mapping[str, Any], files: Sequence[str | Path] = ()) -> Settings:
    """Validate a merged configuration.

    Catalogues come in the order of ``files``, those that it was merged from, the lowest first:
    tables show it, and jobs are parted by it. An entry that an overlay sets to null is left out of
    its dictionary. The environment variable ``HOLDFAST_DATA`` overrides ``data_root``.

    Raises:
        HoldfastError: the first mistake found: its path, its value, and what is right.
    """
    check_values(config)
    ordered = in_order(config, [read_config(path) for path in files])
    values: dict[str, Any] = _without_nulls(ordered, Settings)
    if os.environ.get(DATA_ROOT):
        values["data_root"] = os.environ[DATA_ROOT]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise HoldfastError(describe(_first(error))) from None
    check_references(settings)
    return settings


def _without_nulls(value: Any, annotation: Any) -> Any:
    """Leave out the entries that are null in dictionaries from names to settings."""
    if not isinstance(value, Mapping):
        return value
    catalogue = get_origin(_plain(annotation)) is dict
    return {
        key: _without_nulls(entry, _enter(annotation, str(key))[0])
        for key, entry in value.items()
        if entry is not None or not catalogue
    }


def _first(error: ValidationError) -> ErrorDetails:
    """Prefer an unknown key over the missing one that it was meant to be."""
    errors = error.errors()
    unknown = [detail for detail in errors if detail["type"] == "extra_forbidden"]
    return (unknown or errors)[0]


def describe(detail: ErrorDetails) -> str:
    """Turn a validation error into one sentence: path, value, what is right, nearest name."""
    model, path, expected = _walk(Settings, detail["loc"])
    where = ".".join(path)
    value, context = detail["input"], detail.get("ctx", {})
    if expected:
        return f"{where}: {_short(value)} is wrong: give {expected}"
    match detail["type"]:
        case "extra_forbidden":
            known = _keys(model)
            return (
                f"{where}: unknown setting '{path[-1]}'{nearest(path[-1], known) or _among(known)}"
            )
        case "missing":
            return f"{where}: this setting is required"
        case "union_tag_not_found":
            return f"{where}.{context['discriminator'].strip(chr(39))}: this setting is required"
        case "union_tag_invalid":
            tags = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
            key = context["discriminator"].strip("'")
            return f"{where}.{key}: '{context['tag']}' is not known{_choice(context['tag'], tags)}"
        case "literal_error":
            choices = [c.strip("' ") for c in context["expected"].replace(" or ", ", ").split(",")]
            return f"{where}: {value!r} is not known{_choice(str(value), choices)}"
        case "value_error":
            return f"{where}: {context['error']}" if where else str(context["error"])
        case _:
            message = detail["msg"][0].lower() + detail["msg"][1:]
            return f"{where}: {_short(value)} is wrong: {message}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _choice(given: str, choices: Iterable[str]) -> str:
    choices = list(choices)
    return nearest(given, choices) or _among(choices)


def _among(choices: Iterable[str]) -> str:
    return f"; known: {', '.join(sorted(choices))}"


def _keys(model: PreTrainedModel) -> list[str]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []


def _walk(annotation: Any, location: tuple[int | str, ...]) -> tuple[Any, list[str], str]:
    """Follow an error's location through the settings' types.

    Returns the innermost model that holds the location, the path as the user wrote it (pydantic
    puts the tags of unions into locations; they are left out), and, where the location ends in a
    choice of plain values, these in words.
    """
    model: Any = annotation
    path: list[str] = []
    for step in location:
        choices = _plain_choices(annotation)
        if choices:
            return model, path, choices
        members = _models(annotation)
        tagged = [member for member in members if _is_tag(member, str(step))]
        if tagged and not any(str(step) in _keys(member) for member in members):
            annotation = model = tagged[0]
            continue
        path.append(str(step))
        annotation, holder = _enter(annotation, str(step))
        model = holder or model
    return model, path, ""


def _enter(annotation: Any, step: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the type of ``annotation[step]`` and the settings model that was entered, if any."""
    members = _models(annotation)
    for member in members:
        for name, field in member.model_fields.items():
            if step in (name, field.alias):
                return field.annotation, member
    if members:
        return None, members[0]
    origin, arguments = get_origin(_plain(annotation)), get_args(_plain(annotation))
    if origin is dict:
        return arguments[1], None
    if origin is list:
        return arguments[0], None
    if origin in (Union, UnionType):
        containers = [a for a in arguments if get_origin(_plain(a)) in (dict, list)]
        return _enter(containers[0], step) if containers else (None, None)
    return None, None


def _plain_choices(annotation: Any) -> str:
    """Return ``a whole number or 'tensor'`` for a union of plain values, else ``""``."""
    members = [_plain(member) for member in get_args(_plain(annotation)) if member is not NoneType]
    if get_origin(_plain(annotation)) not in (Union, UnionType) or len(members) < 2:
        return ""
    words: list[str] = []
    for member in members:
        if get_origin(member) is Literal:
            words.extend(repr(value) for value in get_args(member))
        elif member in PLAIN:
            words.append(PLAIN[member])
        else:
            return ""
    return " or ".join(words)


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings models that ``annotation`` allows."""
    annotation = _plain(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType):
        return [model for member in get_args(annotation) for model in _models(member)]
    return []


def _is_tag(model: type[BaseModel], step: str) -> bool:
    if model.__name__ == step:
        return True
    discriminators = [model.model_fields.get(key) for key in ("kind", "stage", "method")]
    return any(step in get_args(field.annotation) for field in discriminators if field)
