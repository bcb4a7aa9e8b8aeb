"""Whether the cards that are here are large enough for the stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.config import Settings
from holdfast.engine import memory as estimate
from holdfast.engine.shape import Shape
from holdfast.preflight.finding import Finding, bad, good, unseen
from holdfast.preflight.shapes import shapes

GIB = 2**30


@dataclass(frozen=True)
class Need:
    """Bytes that a stage needs: of one card for training, which a rank has alone; else of all."""

    stage: str
    size: int
    alone: bool = False


def check(settings: Settings) -> Iterator[Finding]:
    """Yield the cards of this machine, and whether each stage's largest job fits into them."""
    if not settings.gpus:
        yield good("gpus: 0, so the run computes on the processors")
        return
    cards = _cards()
    if not cards:
        yield unseen("no GPU on this machine: check again where the jobs run")
        return
    if len(cards) < settings.gpus:
        yield bad(
            f"gpus: {settings.gpus} for one job, and this machine has {len(cards)}; write gpus:"
            f" {len(cards)}"
        )
        return
    smallest = min(cards) - estimate.CONTEXT
    yield good(f"{len(cards)} cards of at least {min(cards) / GIB:.0f} GiB, {settings.gpus} a job")
    for need in _largest(needs(settings)):
        yield _finding(need, smallest if need.alone else smallest * settings.gpus, settings.gpus)


def needs(settings: Settings) -> Iterator[Need]:
    """Yield what every kind of job needs at least: batches are halved where memory runs out."""
    known, tokens = shapes(settings), settings.data.max_length
    for path, shape in known.items():
        if path.startswith("models."):
            yield from _of_model(settings, path, shape, tokens)
    for name in settings.judge_models:
        path = f"judges.{name}.model"
        if path in known:
            size = estimate.judge(known[path], "auto", settings.judges[name].most_tokens)
            yield Need(f"judge {name}", size)


def _of_model(settings: Settings, path: str, shape: Shape, tokens: int) -> Iterator[Need]:
    for name, arm in settings.arms.items():
        where = f"{name} of {path}"
        moving = settings.layers_moved(arm, shape.layers)
        size = estimate.making(shape, arm, tokens, settings.gpus, moving)
        if size:
            yield Need(f"{arm.work} {where}", size, alone=arm.makes == "checkpoint")
    for name, selection in settings.selections.items():
        size = estimate.layer_scores(shape, selection, tokens)
        yield Need(f"selection {name} of {path}", size)
    shown = [*settings.tables.values(), *settings.figures.values()]
    if any(entry.reads(settings).gaps for entry in shown):
        size = estimate.gap(shape, settings.gap, tokens)
        yield Need(f"robustness gap of {path}", size)
    row = settings.generation.model_copy(update={"batch_size": 1})
    for name, entry in settings.perturbations.items():
        if entry.calibration:
            size = estimate.quantize(shape, entry.calibration.tokens)
            yield Need(f"quantizing {name} of {path}", size)
        if entry.training:
            size = estimate.first_order(shape, entry.training, tokens)
            yield Need(f"fine-tuning {name} of {path}", size, alone=True)
        size = estimate.evaluate(shape, row, settings.utility, entry)
        yield Need(f"evaluation {name} of {path}", size)


def _largest(every: Iterator[Need]) -> list[Need]:
    """Return the largest need of each kind of stage."""
    largest: dict[str, Need] = {}
    for need in every:
        kind = need.stage.split()[0]
        if kind not in largest or largest[kind].size < need.size:
            largest[kind] = need
    return list(largest.values())


def _finding(need: Need, room: int, cards: int) -> Finding:
    text = f"{need.stage}: about {need.size / GIB:.1f} GiB"
    if need.size <= room:
        return good(f"{text}, {room / GIB:.1f} GiB there")
    mend = f"set `gpus` above {cards}, or use larger cards"
    if need.alone:
        mend = f"{mend}, or set `gradient_checkpointing: true`"
    return bad(f"{text} of which {room / GIB:.1f} GiB are there; {mend}")


def _cards() -> list[int]:
    """Bytes of memory of each card."""
    import torch

    count = torch.cuda.device_count()
    return [torch.cuda.get_device_properties(number).total_memory for number in range(count)]
