"""Zeroth-order refinement (Algorithm 1, stage III).

A step draws q directions v_j over the selected parameters, evaluates the loss f on one batch at
theta +- beta v_j and moves along the mean of

    g_j = (f(theta + beta v_j) - f(theta - beta v_j)) / (2 beta) * v_j        (Definition 3.1),

times the number d of selected parameters where ``scale_by_dimension`` asks for line 16 of the
algorithm. Directions are never stored: they are drawn again from their keys, so the whole arm is a
log of scalars from which ``replay.replay`` makes the same weights, bit for bit, with no forward
pass.

All arithmetic happens on a float32 master copy; what the model computes with is that copy rounded
once. So restoring is exact in any type, and moves too small for 16 bits add up, not vanish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from holdfast.arms.compute import zeroth_order_passes
from holdfast.arms.curvature import curvature, rate_warnings
from holdfast.arms.finite import require_finite
from holdfast.arms.master import Combination, Master
from holdfast.arms.replay import PURPOSE, apply, apply_step, step_keys
from holdfast.arms.replay_log import Curvature, Step
from holdfast.arms.schedule import rate_factor, sample_indices
from holdfast.arms.task import Refined, Task
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import Batch, Example, digest, make_batches
from holdfast.engine.cost import measured
from holdfast.engine.memory import zeroth_order
from holdfast.engine.parameters import fingerprint, layer_parameters
from holdfast.engine.shape import Shape
from holdfast.engine.suffix import Suffix, groups
from holdfast.errors import Diverged
from holdfast.files.journal import Journal
from holdfast.numerics.stream import STREAM, Key
from holdfast.progress import track
from holdfast.settings.stages import ZerothOrder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STEPS = "steps.jsonl"  # of a killed job, in its scratch folder
__all__ = ["PURPOSE", "STEPS", "apply", "make", "refine"]


def make(settings: ZerothOrder, task: Task) -> Refined:
    """Refine the task's parent.

    Raises:
        Diverged: a loss is no finite number.
    """
    layers = task.layers

    def needs(shape: Shape) -> int:
        return zeroth_order(shape, settings, task.max_length, len(layers) if layers else None)

    with measured() as meter:
        loaded, examples = task.load(needs)
        journal = task.scratch / STEPS
        log = refine(
            loaded.model, examples, settings, layers=layers, seed=task.seed, journal=journal
        )
    passes = zeroth_order_passes(settings, layers, len(decoder_layers(loaded.model)))
    return Refined(meter.usage, loaded, log, passes)


@torch.no_grad()
def refine(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: ZerothOrder,
    *,
    layers: Sequence[int] | None,
    seed: int,
    journal: Path,
) -> dict[str, Any]:
    """Refine the given decoder layers (None: every parameter) in place; return the replay log.

    Each finished step is kept in the file ``journal``; a killed run started again with the same
    arguments replays it and ends with the same log. The caller deletes it once the log is stored.
    The log holds settings, parent fingerprint, one ``Step`` a step, the ``Curvature`` that the
    first step met, and warnings in words.

    Raises:
        Diverged: a loss is no finite number.
        HoldfastError: a layer does not exist.
    """
    log: dict[str, Any] = {
        "arm": "zeroth_order",
        "layers": None if layers is None else sorted(layers),
        "parent": fingerprint(model),
        "noise_stream": STREAM,
        "seed": seed,
        "settings": settings.model_dump(include=set(ZerothOrder.model_fields)),
        "examples": digest(examples),
    }
    master = Master(layer_parameters(model, layers), settings.momentum)
    log["dimension"] = master.dimension
    finished = Journal(journal, log)
    steps: list[Step] = []
    for step in track(range(settings.steps), "zeroth-order refinement"):
        if str(step) in finished:
            entry = finished.read(str(step), Step)
            apply_step(master, entry, settings, seed)
        else:
            batches = _batches(examples, settings, step, seed)
            with master.restored_on_error():
                entry, bent = _advance(
                    model, master, batches, min(layers or [0]), settings, step, seed
                )
            if bent:
                finished.append("curvature", bent)
            finished.append(str(step), entry)
        steps.append(entry)
    bent = finished.read("curvature", Curvature)
    return log | {
        "curvature": bent.model_dump(),
        "steps": [entry.model_dump() for entry in steps],
        "warnings": [
            *_warnings(steps, settings),
            *rate_warnings(bent, settings, steps[0].clip, master.dimension),
        ],
    }


def _batches(
    examples: Sequence[Example], settings: ZerothOrder, step: int, seed: int
) -> list[Batch]:
    indices = sample_indices(len(examples), settings.batch_size, step, seed, PURPOSE)
    return make_batches([examples[index] for index in indices], settings.forward_batch_size)


def _advance(
    model: PreTrainedModel,
    master: Master,
    batches: list[Batch],
    layer: int,
    settings: ZerothOrder,
    step: int,
    seed: int,
) -> tuple[Step, Curvature | None]:
    """Do one step; return it and, of the first, the curvature that it met."""
    keys = step_keys(settings, step, seed)
    master.keep(keys)
    # A unit vector is the Gaussian one over its norm.
    sphere = settings.direction == "sphere"
    norms = [master.norm(Combination([1.0], [k])) if sphere else 1.0 for k in keys]
    scales = [settings.beta / norm for norm in norms]
    cache, first = settings.cache_gib, step == 0
    plus, minus, base = _losses(model, master, batches, layer, scales, keys, cache, first)
    _require_finite(math.fsum([*plus, *minus, base or 0.0]), "sum of the losses", settings, step)
    bent = None if base is None else curvature(base, plus, minus, scales)
    factor = master.dimension if settings.scale_by_dimension else 1
    projected = [
        factor * (up - down) / (2 * settings.beta) for up, down in zip(plus, minus, strict=True)
    ]
    coefficients = [slope / norm / len(keys) for slope, norm in zip(projected, norms, strict=True)]
    gradient = Combination(coefficients, keys)
    gradient_norm = master.norm(gradient)
    _require_finite(gradient_norm, "norm of the estimated gradient", settings, step)
    limit = math.inf if settings.max_grad_norm is None else settings.max_grad_norm
    clip = min(1.0, limit / (gradient_norm + 1e-6))
    rate = settings.learning_rate * rate_factor(
        settings.scheduler, step, settings.steps, settings.warmup_ratio
    )
    move = master.update(gradient, rate, clip, settings.weight_decay)
    if not math.isfinite(move.norm):
        require_finite(model, "zeroth-order", settings, step)
    _require_finite(move.norm, "length of the move", settings, step)
    entry = Step(
        step=step,
        learning_rate=rate,
        coefficients=coefficients,
        clip=clip,
        loss_plus=math.fsum(plus) / len(plus),
        loss_minus=math.fsum(minus) / len(minus),
        projected_gradients=projected,
        gradient_norm=gradient_norm,
        move_norm=move.norm,
        move_rms=move.norm / math.sqrt(master.dimension),
        changed_share=move.changed / master.dimension,
    )
    return entry, bent


def _losses(
    model: PreTrainedModel,
    master: Master,
    batches: list[Batch],
    layer: int,
    scales: list[float],
    keys: list[Key],
    cache_gib: float,
    unmoved: bool,
) -> tuple[list[float], list[float], float | None]:
    """Return the losses at theta + scale * v, at theta - scale * v and, if ``unmoved``, at theta.

    The first two are lists over the directions v. What lies below ``layer``, the lowest that moves,
    runs once for all of them. The model stays at the last point, for the update to come.
    """
    plus, minus, base, tokens = [0.0] * len(keys), [0.0] * len(keys), 0.0, 0
    for group in groups(model, batches, cache_gib):
        if tokens:
            master.restore()  # the states that are kept come from unmoved weights
        suffix = Suffix(model, group, layer)
        tokens += suffix.tokens
        base += suffix.total() if unmoved else 0.0
        for j, (scale, direction) in enumerate(zip(scales, keys, strict=True)):
            master.write(scale, direction)
            plus[j] += suffix.total()
            master.mirror(scale, direction)
            minus[j] += suffix.total()
    means = [[total / tokens for total in totals] for totals in (plus, minus)]
    return means[0], means[1], base / tokens if unmoved else None


def _require_finite(value: float, what: str, settings: ZerothOrder, step: int) -> None:
    if not math.isfinite(value):
        raise Diverged(
            f"zeroth-order step {step}: the {what} is {value}: lower learning_rate "
            f"({settings.learning_rate}) or beta ({settings.beta}), or check max_grad_norm "
            f"({settings.max_grad_norm}) and scale_by_dimension ({settings.scale_by_dimension})"
        )


def _warnings(steps: Sequence[Step], settings: ZerothOrder) -> list[str]:
    warnings = [
        f"step {entry.step} moved the selected weights by {entry.move_rms:.3g} each (root mean "
        f"square), more than max_predicted_move ({settings.max_predicted_move:g}): perplexity "
        "will suffer; lower learning_rate or max_grad_norm"
        for entry in steps
        if entry.move_rms > settings.max_predicted_move
    ]
    if all(entry.changed_share == 0 for entry in steps):
        warnings.append(
            "no stored weight changed: the moves are smaller than the rounding of the weights' "
            "type, so this arm equals its parent; raise learning_rate or recast the model first"
        )
    return warnings
