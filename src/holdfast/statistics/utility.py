"""Perplexity over windows and accuracy over items, and their paired changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from holdfast.statistics.estimates import (
    Change,
    Estimate,
    Floats,
    p_value,
    paired_repeats,
    quantile,
    require_pairs,
)
from holdfast.statistics.repeats import Components, components, mean_components


def perplexity(nll: Floats, tokens: Floats, draws: int) -> Estimate:
    """Return exp of the token-weighted mean NLL, with a t interval over windows on the log scale.

    ``nll``: mean NLL in nats of each window, averaged over draws, shape (windows,); or of each
    repeat, shape (repeats, windows), whose variance is then in the interval (see ``repeats``).
    """
    table = np.atleast_2d(nll)
    center = float(np.average(table.mean(axis=0), weights=tokens))
    units = table.shape[1]
    if units < 2:
        return Estimate(_exp(center), None, None, units, draws)
    half = _half(mean_components(table, tokens))
    return Estimate(_exp(center), _exp(center - half), _exp(center + half), units, draws)


def perplexity_change(nll: Floats, before: Floats, tokens: Floats) -> Change:
    """Return the change of perplexity; p from the paired t-test on window NLL (token-weighted).

    The interval is a t interval by linearization: each window moves a perplexity by its weighted
    residual times that perplexity. Shapes as in ``perplexity``, paired by window and repeat.
    """
    after, before = np.atleast_2d(nll), np.atleast_2d(before)
    paired_repeats(after, before)
    here, there = (_exp(float(np.average(x.mean(axis=0), weights=tokens))) for x in (after, before))
    delta = here - there
    if after.shape[1] < 2:
        return Change(delta, None, None, None)
    tested = mean_components(after - before, tokens)
    mean = float(np.average((after - before).mean(axis=0), weights=tokens))
    half = _half(mean_components(here * after - there * before, tokens))
    p = p_value(mean, _error(tested), tested.freedom())
    return Change(delta, delta - half, delta + half, p)


def accuracy(tasks: Sequence[Floats], draws: int) -> Estimate:
    """Return the unweighted mean of task means, with an interval from per-item variances.

    ``tasks``: one array of item scores a task, averaged over draws, shape (items,), with a normal
    interval; or of each repeat, shape (repeats, items), with their variance (see ``repeats``).
    """
    tables = [np.atleast_2d(task) for task in tasks]
    value = float(np.mean([table.mean() for table in tables]))
    units = sum(table.shape[1] for table in tables)
    components = _task_components(tables)
    if components is None:
        return Estimate(value, None, None, units, draws)
    half = quantile(_freedom(components)) * _error(components)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), units, draws)


def accuracy_change(tasks: Sequence[Floats], before: Sequence[Floats]) -> Change:
    """Return the change of mean accuracy, paired by items within each task, and by repeat.

    p from the normal distribution; from Student's with repeats. Where all items change alike, which
    is no certainty, the interval is as wide as Agresti and Min's for a rate's change then.
    """
    tables = []
    for here, there in zip(tasks, before, strict=True):
        after, former = np.atleast_2d(here), np.atleast_2d(there)
        require_pairs(after.shape[1], former.shape[1])
        paired_repeats(after, former)
        tables.append(after - former)
    delta = float(np.mean([table.mean() for table in tables]))
    components = _task_components(tables)
    if components is None:
        return Change(delta, None, None, None)
    items = sum(table.shape[1] for table in tables)
    half = quantile(_freedom(components)) * _error(components) or quantile() / (items + 2)
    p = p_value(delta, _error(components), _freedom(components))
    return Change(delta, delta - half, delta + half, p)


def _task_components(tables: Sequence[Floats]) -> Components | None:
    """Return the variances of the mean of task means; None where a task has one item."""
    if any(table.shape[1] < 2 for table in tables):
        return None
    parts = []
    for table in tables:
        n = table.shape[1]
        residuals = table - table.mean(axis=1, keepdims=True)
        parts.append(residuals / (math.sqrt(n * (n - 1)) * len(tables)))
    values = np.mean([table.mean(axis=1) for table in tables], axis=0)
    return components(values, np.concatenate(parts, axis=1))


def _freedom(components: Components) -> float:
    return components.freedom() if components.count > 1 else math.inf


def _error(components: Components) -> float:
    return math.sqrt(components.units + components.between)


def _half(components: Components) -> float:
    return quantile(components.freedom()) * _error(components)


def _exp(value: float) -> float:
    # A broken model's NLL may overflow exp; 1e99 still says so, and its squares stay finite.
    return math.exp(min(value, 228.0))
