"""An object of the user's own: found and hashed when a run is planned, imported where it is used.

Reading a config imports nothing of it. Its module is sought in the working folder and then on
Python's path, and the digest of its file is a setting, so that a change of the file runs again
what used it. Only that file is hashed, and not what it imports.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from holdfast.errors import HoldfastError, nearest
from holdfast.settings.base import Frozen
from holdfast.settings.data import Digest

NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class OwnObject(Frozen):
    """A class of a module that is no part of Holdfast, and what it is made with."""

    method: ClassVar[str]  # that the object must have
    object: str = Field(
        description="your class, as `package.module:Class`; the module lies in the working folder"
        " or on Python's path, and nothing is imported but by the jobs that use it",
    )
    options: dict[str, Any] = Field(
        {}, description="arguments that the class is called with, by name"
    )
    sha256: Digest | None = Field(
        None,
        validate_default=True,
        description="digest that the module's file must have; null: that of the file as it is when"
        " the run is planned, so that editing it runs again what used it",
    )

    @field_validator("object")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"{value!r:.60} is wrong: give your class as package.module:Class")
        module, name = value.split(":")
        file = source_of(module)
        if file is None:
            raise ValueError(
                f"there is no module '{module}' in the working folder or on Python's path; correct"
                f" the name, or put {module.replace('.', '/')}.py there"
            )
        _check_source(file, name, cls.method)
        return value

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value or "object" not in info.data:
            return value
        file = source_of(info.data["object"].split(":")[0])
        return _sha256(file) if file else None

    @property
    def own(self) -> OwnObject:
        """The settings, for who asks an entry whether it is an object of the user's own."""
        return self


def source_of(module: str) -> Path | None:
    """Return the file that a module would be imported from, without importing anything."""
    inside = Path(*module.split("."))
    for root in (os.getcwd(), *sys.path):  # noqa: PTH109 (as entries of sys.path are)
        for file in (root / inside / "__init__.py", root / inside.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def load_own(settings: OwnObject) -> Any:
    """Import the module and return the object that ``settings`` describe.

    Raises:
        HoldfastError: the file is another than when the run was planned, importing it or making
            the object fails, or the object lacks its method.
    """
    where = f"object: '{settings.object}'"
    module, name = settings.object.split(":")
    file = source_of(module)
    if file is None or _sha256(file) != settings.sha256:
        state = f"{file} has another sha256 than {settings.sha256}" if file else "it is gone"
        raise HoldfastError(f"{where}: {state}; correct `sha256`, or plan the run again")
    here = os.getcwd()  # noqa: PTH109
    try:
        sys.path.insert(0, here)
        imported = import_module(module)
    except Exception as error:
        raise HoldfastError(f"{where} cannot be imported: {_told(error)}") from error
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)  # for what it imports later; never before the pipeline's own
    source = getattr(imported, "__file__", None)  # none of what is built in
    if Path(str(source)).resolve() != file.resolve():
        raise HoldfastError(
            f"{where}: {source or module} was imported under this name already; rename yours"
        )
    if not hasattr(imported, name):
        known = [known for known, value in vars(imported).items() if isinstance(value, type)]
        raise HoldfastError(
            f"{where} is not there: {file} has no class '{name}'{nearest(name, known)}"
        )
    try:
        made = getattr(imported, name)(**settings.options)
    except Exception as error:
        raise HoldfastError(f"{where} cannot be made of its `options`: {_told(error)}") from error
    if not callable(getattr(made, settings.method, None)):
        raise HoldfastError(f"{where} has no method `{settings.method}`; write one")
    return made


def _check_source(file: Path, name: str, method: str) -> None:
    """Raise ValueError where the text of ``file`` shows that it lacks the class or its method."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as Python: {error}") from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        if name not in _names(tree):
            raise ValueError(f"{file} has no class '{name}'{nearest(name, classes)}")
        return  # imported or made by a call: known when it is imported
    entry = classes[name]
    if not (entry.bases or entry.keywords or entry.decorator_list) and method not in _names(entry):
        raise ValueError(f"class {name} of {file} has no method `{method}`; write one")


def _names(tree: ast.AST) -> set[str]:
    """Return the names that a text gives to anything."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def _told(error: Exception) -> str:
    """Return what an error says, and where in the user's code it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    at = f" (line {last.lineno} of {Path(last.filename).name})"
    return f"{type(error).__name__}: {error}{at}"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
