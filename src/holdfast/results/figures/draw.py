"""Draw a figure from its settings, as SVG and PNG."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.settings.figures import FigureSettings


def write_figure(
    name: str,
    settings: FigureSettings,
    inputs: Inputs,
    out_prefix: str | Path,
    context: Context,
) -> None:
    """Write ``<out_prefix>.svg`` and ``.png``: with ``draw`` of the module that its kind names.

    Raises HoldfastError naming the figure and the missing input.
    """
    kind = import_module(f"holdfast.results.figures.{settings.kind}")
    try:
        kind.draw(settings, inputs, out_prefix, context)
    except HoldfastError as error:
        raise HoldfastError(f"figure '{name}': {error}") from None
