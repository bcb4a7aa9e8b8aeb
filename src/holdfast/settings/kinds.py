"""A kind is settings in its catalogue, and a module of its name in the room that it is of."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from holdfast.errors import HoldfastError, nearest


def module_of(room: str, kind: str) -> ModuleType:
    """Return the module of a kind: ``module_of("holdfast.judges", "harmbench")``.

    Raises:
        HoldfastError: the room has no module of that name.
    """
    name = f"{room}.{kind}"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # the kind is there, and something that it imports is not
            raise
    known = [module.name for module in pkgutil.iter_modules(import_module(room).__path__)]
    where = room.rpartition(".")[2]
    raise HoldfastError(f"{where}: there is no kind '{kind}'{nearest(kind, known)}")
