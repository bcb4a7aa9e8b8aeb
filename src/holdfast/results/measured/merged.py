"""Summaries of one arm under one perturbation each, put together as its run."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.errors import HoldfastError
from holdfast.results.measured.files import Summary

SAME = ("weights", "behaviors", "behaviors_sha256", "dtype")


def merged(summaries: Iterable[Summary]) -> list[Summary]:
    """Return one summary an arm and training seed, in the order of their first mention.

    Its cells are in the order given; its metrics are those that every part has.

    Raises:
        HoldfastError: the parts are of different weights or behaviors.
    """
    parts: dict[tuple[str, str, int], list[Summary]] = {}
    for summary in summaries:
        parts.setdefault((summary.model, summary.arm, summary.seed), []).append(summary)
    return [_whole(some) for some in parts.values()]


def _whole(parts: list[Summary]) -> Summary:
    first = parts[0]
    for part in parts[1:]:
        for name in SAME:
            if getattr(part, name) != getattr(first, name):
                raise HoldfastError(
                    f"{first.model}/{first.arm}/seed{first.seed}: the summaries under its"
                    f" perturbations are of different {name}: run it again"
                )
    metrics = {
        name: metric
        for name, metric in first.metrics.items()
        if all(name in part.metrics for part in parts)
    }
    return first.model_copy(
        update={
            "metrics": metrics,
            "cells": [cell for part in parts for cell in part.cells],
            "meaningless": any(part.meaningless for part in parts),
        }
    )
