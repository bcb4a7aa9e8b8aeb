"""Greedy completions in batches against one prompt at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks import plain
from benchmarks.agreement import same
from benchmarks.measure import Contest, Result
from benchmarks.models import SEED, Bench, tokenizer
from holdfast.engine.generation import Completion, generate


def generation(bench: Bench) -> Iterator[Result]:
    """Random weights hardly ever end an answer, so every row runs to the last token."""
    shape, draw = bench.shape, random.Random(SEED)  # noqa: S311
    words = tokenizer(shape.vocabulary)
    prompts = [words.decode(bench.tokens(draw, *shape.prompt)) for _ in range(shape.prompts)]

    def ours() -> list[str]:
        found: dict[int, str] = {}

        def collect(index: int, completion: Completion) -> None:
            found[index] = completion.text

        generate(
            bench.model,
            words,
            prompts,
            max_new_tokens=shape.new_tokens,
            batch_size=len(prompts),
            on_done=collect,
        )
        return [found[index] for index in range(len(prompts))]

    def one_by_one() -> list[str]:
        return plain.complete(bench.model, words, prompts, shape.new_tokens)

    yield bench.compete(
        Contest(
            f"generation, {shape.prompts} prompts x {shape.new_tokens} tokens, against batch 1",
            ours,
            one_by_one,
            check=lambda: same(ours(), one_by_one(), "completions"),
        )
    )
