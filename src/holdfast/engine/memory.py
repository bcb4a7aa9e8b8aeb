"""Memory that each stage needs on its device, from the model's shape and the stage's settings.

All results are bytes: GPU memory, or what the process grows by where there is no GPU. They leave
out what is there before any model (a CUDA context takes about half a GiB, the libraries about one
of host memory: ``CONTEXT`` and ``LIBRARIES``). Nothing heavy is imported: the Snakefile's resource
functions and the preflight call this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.engine import limits
from holdfast.engine.shape import Shape
from holdfast.settings.arms import Arm
from holdfast.settings.evaluation import Generation, Utility
from holdfast.settings.gap import GapSettings
from holdfast.settings.perturbation import PerturbationSettings
from holdfast.settings.selections import SelectionSettings
from holdfast.settings.stages import FirstOrder, ZerothOrder

MIB, GIB = 2**20, 2**30
CONTEXT = GIB // 2
LIBRARIES = 3 * GIB // 2
FLOAT32 = 4
PROMPT_TOKENS = 1024  # of a behavior with its context; HarmBench's longest have about 900
TASK_TOKENS = 512  # of a question with one of its answers
CALIBRATION_COPIES = 3  # a Hessian, its factor and its inverse


def making(shape: Shape, arm: Arm, tokens: int, gpus: int, layers: int | None) -> int:
    """The stage that makes an arm: one of its processes on ``gpus`` GPUs where it trains.

    ``layers`` is how many decoder layers move (None: every parameter). 0 is a job on processors.
    """
    if arm.makes == "checkpoint":
        return first_order(shape, arm.move, tokens, arm.move.processes(gpus))
    return zeroth_order(shape, arm.move, tokens, layers) if arm.makes == "replay_log" else 0


def first_order(shape: Shape, settings: FirstOrder, tokens: int, ranks: int = 1) -> int:
    """One rank of float32 training on rows of ``tokens`` tokens.

    Weights, gradients and momentum are split over ``ranks``, of which each loads the checkpoint
    before it keeps its part, and gathers embeddings, output layer and two decoder layers at a time.
    A rank alone keeps a whole copy in the compute type for the backward pass instead. Activations
    are those of one forward pass; from the second pass of a step on they are there beside all
    gradients. Smoothed training keeps a copy of what it perturbs, at most of everything.
    """
    item = 2 if settings.compute == "bfloat16" else FLOAT32
    share = -(-settings.batch_size * settings.gradient_accumulation // ranks)
    rows = min(settings.batch_size, share)
    saved = _saved_bytes(shape, item)
    if settings.gradient_checkpointing:
        activations = rows * tokens * (shape.layers * shape.hidden * FLOAT32 + saved)
    else:
        activations = rows * tokens * shape.layers * saved
    embeddings = shape.vocabulary * shape.hidden
    if ranks > 1:
        head = (2 * FLOAT32 + 2 * item + FLOAT32) * embeddings  # both with their gradients
        cast = head + 3 * item * shape.layer_parameters
    elif item != FLOAT32:
        kept = 1 if settings.gradient_checkpointing else shape.layers
        cast = item * (kept * shape.linear_parameters + 2 * embeddings)
        cast += FLOAT32 * embeddings
    else:
        cast = 0
    logits = 2 * _logits(shape, rows * tokens, item)  # with their gradient
    states = FLOAT32 * shape.parameters // ranks
    return max(settings.held * states + cast + activations + logits, shape.weights + states)


def zeroth_order(shape: Shape, settings: ZerothOrder, tokens: int, layers: int | None) -> int:
    """Refinement of ``layers`` decoder layers (None: of every parameter).

    Weights, a float32 master copy of those that move (and their momentum), the states that enter
    the lowest of them, and a forward pass.
    """
    moving = shape.parameters if layers is None else layers * shape.layer_parameters
    master = FLOAT32 * moving * (2 if settings.momentum > 0 else 1)
    kept = FLOAT32 * moving if moving <= limits.KEPT_ELEMENTS else 0
    rows = min(settings.batch_size, settings.forward_batch_size)
    states = 0 if layers is None else settings.batch_size * tokens * shape.hidden * shape.item
    states = min(states, int(settings.cache_gib * GIB))
    return shape.weights + master + kept + states + _loss(shape, rows, tokens)


def layer_scores(shape: Shape, settings: SelectionSettings, tokens: int) -> int:
    """Scoring of layers: a copy of one layer and kept states, or gradients, or inputs."""
    return SCORING[settings.by](shape, settings, tokens)


def _by_probes(shape: Shape, settings: Any, tokens: int) -> int:
    """A layer's inputs, and what it puts out under each probe."""
    states = (settings.draws + 2) * settings.samples * tokens * shape.hidden * shape.item
    kept = min(states, int(settings.cache_gib * GIB))
    rows = min(settings.samples, settings.batch_size)
    together = min(settings.draws + 1, max(1, limits.STACKED_TOKENS // (rows * tokens)))
    copies = shape.layer_parameters * shape.item + kept
    return shape.weights + copies + _loss(shape, together * rows, tokens)


def _by_gradients(shape: Shape, _settings: object, tokens: int) -> int:
    """A backward pass of one row, and the largest gradient, which is dropped once it is used."""
    activations = tokens * shape.layers * _saved_bytes(shape, shape.item)
    largest = shape.hidden * max(shape.inner, shape.attention_width)
    gradient = largest * (shape.item + 2 * FLOAT32)
    return shape.weights + activations + gradient + 2 * _logits(shape, tokens, shape.item)


def _by_inputs(shape: Shape, settings: Any, tokens: int) -> int:
    """A forward pass, and the squares of what enters a linear module."""
    rows = min(settings.samples, settings.batch_size)
    squares = rows * tokens * shape.inner * 2 * FLOAT32
    return shape.weights + squares + rows * shape.layer_bytes(tokens)


SCORING: dict[str, Callable[[Shape, Any, int], int]] = {
    "probes": _by_probes,
    "gradients": _by_gradients,
    "inputs": _by_inputs,
    "chance": lambda *_: 0,
}


def gap(shape: Shape, settings: GapSettings, tokens: int) -> int:
    """Robustness gap: weights and their copy, then a loss, or a gradient beside a float32 copy.

    The gradient of a parameter is dropped as soon as it is used; the largest is an embedding's.
    """
    rows = min(settings.samples, settings.batch_size)
    if not settings.gradient_copies:
        return 2 * shape.weights + _loss(shape, rows, tokens)
    saved = shape.layers * shape.hidden * shape.item + _saved_bytes(shape, shape.item)
    activations = rows * tokens * saved
    gradient = shape.vocabulary * shape.hidden * (shape.item + FLOAT32)
    states = FLOAT32 * shape.parameters + activations + gradient
    return 2 * shape.weights + states + 2 * _logits(shape, rows * tokens, shape.item)


def evaluate(
    shape: Shape,
    generation: Generation,
    utility: Utility,
    perturbation: PerturbationSettings,
    prompt_tokens: int = PROMPT_TOKENS,
) -> int:
    """Weights, their copy where they are perturbed, and the largest of the three measures.

    ``auto`` counts as one row: it takes what is left.
    """
    rows = 1 if generation.batch_size == "auto" else generation.batch_size
    longest = min(prompt_tokens + generation.max_new_tokens, shape.context)
    completions = rows * shape.row_bytes(longest)
    perplexity = _loss(shape, utility.perplexity.batch_size, utility.perplexity.window)
    positions = utility.lm_eval.batch_size * min(TASK_TOKENS, shape.context)
    logits = positions * shape.vocabulary * (shape.item + 2 * FLOAT32)
    tasks = shape.layer_bytes(positions) + logits
    linear = shape.layers * shape.linear_parameters * shape.item
    copy = {"none": 0, "linear": linear, "all": shape.weights}[perturbation.copied_weights]
    return shape.weights + copy + max(completions, perplexity, tasks)


def quantize(shape: Shape, tokens: int) -> int:
    """GPTQ by llm-compressor: weights, one layer's Hessians, a forward pass of ``tokens``."""
    inputs = 5 * shape.hidden**2 + shape.attention_width**2 + shape.inner**2
    largest = max(shape.hidden, shape.inner) ** 2
    hessians = FLOAT32 * (inputs + CALIBRATION_COPIES * largest)
    return shape.weights + hessians + shape.layer_bytes(tokens)


def judge(shape: Shape, batch_size: int | str, tokens: int) -> int:
    """Weights and a forward pass of ``batch_size`` rows of ``tokens``; ``auto`` counts as one."""
    rows = 1 if isinstance(batch_size, str) else batch_size
    return shape.weights + rows * shape.row_bytes(min(tokens, shape.context))


def _loss(shape: Shape, rows: int, tokens: int) -> int:
    """Return the bytes of a loss without gradients: one layer, then logits, a piece at a time."""
    hidden = 2 * rows * tokens * shape.hidden * shape.item
    logits = _logits(shape, rows * tokens, shape.item) + hidden
    return max(rows * shape.layer_bytes(tokens), logits)


def _logits(shape: Shape, positions: int, item: int) -> int:
    """Return the bytes of logits, a float32 copy of them and their logarithmic softmax."""
    copies = (0 if item == FLOAT32 else item) + 2 * FLOAT32
    return min(positions, max(1, limits.LOGITS_BYTES // (FLOAT32 * shape.vocabulary))) * (
        shape.vocabulary * copies
    )


def _saved_bytes(shape: Shape, item: int) -> int:
    """Return the bytes that one layer saves a token for the backward pass.

    Each norm saves its input and the normalized state in float32; the linear modules save their
    inputs, cast for each of them where the products are not in float32; the attention saves
    queries, keys, values and its output; the gated block four states of its width.
    """
    norms = 4 * FLOAT32 * shape.hidden
    inputs = (2 if item == FLOAT32 else 5) * item * shape.hidden
    attention = item * (3 * shape.attention_width + 2 * shape.cached_width)
    return norms + inputs + attention + 4 * item * shape.inner
