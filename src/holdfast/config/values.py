"""What YAML can hold and no setting can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType

from holdfast.errors import HoldfastError
from holdfast.text import encodable

MOST_VALUES, DEEPEST = 20_000, 32
LARGEST = 10**18


def check_values(config: object) -> None:
    """Refuse cycles, endless repetition and odd numbers.

    Raises:
        HoldfastError: naming the path of the first.
    """
    if not isinstance(config, Mapping):
        raise HoldfastError("the config must be a dictionary from settings to values")
    waiting: list[tuple[tuple[str, ...], object]] = [((), config)]
    for _ in range(MOST_VALUES):
        if not waiting:
            return
        path, value = waiting.pop()
        if len(path) > DEEPEST:
            break
        if isinstance(value, Mapping):
            for key, entry in value.items():
                waiting += [((*path, f"{key!s:.64}"), part) for part in (key, entry)]
        elif isinstance(value, list):
            waiting += [((*path, str(place)), entry) for place, entry in enumerate(value)]
        elif isinstance(value, str) and value != encodable(value):
            raise HoldfastError(f"{'.'.join(path)}: this is no text: it holds half of a character")
        elif isinstance(value, float) and not math.isfinite(value):
            raise HoldfastError(f"{'.'.join(path)}: {value} is wrong: give a finite number")
        elif isinstance(value, int) and abs(value) >= LARGEST:
            raise HoldfastError(
                f"{'.'.join(path)}: this number is wrong: give one of at most 18 digits"
            )
        elif not isinstance(value, str | int | float | NoneType):
            kind = type(value).__name__
            raise HoldfastError(f"{'.'.join(path)}: {kind} is wrong: give text (in quotes)")
    raise HoldfastError(
        f"the config has more than {MOST_VALUES:,} values, or values more than {DEEPEST} deep: an"
        " alias (*name) in it may hold itself, or be repeated within others"
    )
