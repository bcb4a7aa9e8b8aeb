"""Draw a figure from its settings, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.settings.figures import (
    AsrBarsFigure,
    AsrCurveFigure,
    FigureSettings,
    GapCurveFigure,
    LayerScoresFigure,
)
from holdfast.settings.labels import Labels


def write_figure(
    name: str,
    settings: FigureSettings,
    inputs: Sequence[Mapping[str, Any]],
    out_prefix: str | Path,
    labels: Labels | None = None,
    *,
    meaningless: bool = False,
) -> None:
    """Write ``<out_prefix>.svg`` and ``<out_prefix>.png``.

    ``inputs``: the content of selection.json files (layer_scores), summary.json files (asr_bars,
    asr_curve), history.json files (loss_curve) or gap.json files (gap_curve).
    ``meaningless``: the run's models are random or untrained; summaries also say so themselves.
    Raises HoldfastError naming the figure and the missing input.
    """
    from holdfast.results.figures import (
        asr_bars,
        asr_curve,
        gap_curve,
        layer_scores,
        loss_curve,
    )

    labels = labels or Labels()
    try:
        if isinstance(settings, LayerScoresFigure):
            layer_scores.draw(settings, inputs, out_prefix, labels, meaningless)
        elif isinstance(settings, AsrBarsFigure):
            asr_bars.draw(settings, inputs, out_prefix, labels, meaningless)
        elif isinstance(settings, AsrCurveFigure):
            asr_curve.draw(settings, inputs, out_prefix, labels, meaningless)
        elif isinstance(settings, GapCurveFigure):
            gap_curve.draw(settings, inputs, out_prefix, labels, meaningless)
        else:
            loss_curve.draw(settings, inputs, out_prefix, labels, meaningless)
    except HoldfastError as error:
        raise HoldfastError(f"figure '{name}': {error}") from None
