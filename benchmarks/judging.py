"""Judge prompts that share a template and, in tens, a behavior, against one prompt at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks import plain
from benchmarks.agreement import same
from benchmarks.measure import Contest, Result
from benchmarks.models import SEED, Bench
from holdfast.judges.label_logits import Answer, read_answers

COMPLETIONS = 10
BEHAVIOR = (16, 40)
COMPLETION = (60, 200)
CLOSING = (12, 12)
LABELS = ((5, 6), (7, 8))  # any tokens will do
BATCH = 16


def judging(bench: Bench) -> Iterator[Result]:
    """Prompts are as long as those of HarmBench's classifier; verdicts are the likelier label."""
    prompts = _prompts(bench)

    def ours() -> list[bool]:
        found: dict[int, Answer] = {}
        read_answers(bench.model, prompts, LABELS, BATCH, found.update)
        return [found[index].log_odds > 0 for index in range(len(prompts))]

    def one_by_one() -> list[bool]:
        return [odds > 0 for _, odds in plain.answers(bench.model, prompts.values(), LABELS)]

    yield bench.compete(
        Contest(
            f"judging, {len(prompts)} prompts, against one prompt at a time",
            ours,
            one_by_one,
            check=lambda: same(ours(), one_by_one(), "verdicts"),
        )
    )


def _prompts(bench: Bench) -> dict[int, list[int]]:
    draw = random.Random(SEED)  # noqa: S311
    size = bench.shape.judge_prefix
    opening, closing = bench.tokens(draw, size, size), bench.tokens(draw, *CLOSING)
    found: list[list[int]] = []
    for _ in range(bench.shape.behaviors):
        behavior = bench.tokens(draw, *BEHAVIOR)
        found += [
            [*opening, *behavior, *bench.tokens(draw, *COMPLETION), *closing]
            for _ in range(COMPLETIONS)
        ]
    return dict(enumerate(found))
