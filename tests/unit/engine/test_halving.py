"""A model that runs out of memory above some rows: batches are halved, and results stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_llama
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.halving import Halving
from holdfast.errors import HoldfastError
from holdfast.evaluation.lm_eval import LmEval
from holdfast.evaluation.perplexity import window_nll
from holdfast.files.atomic import write_jsonl
from holdfast.layers import snip, wanda
from holdfast.settings.evaluation import LmEvalSettings
from holdfast.settings.selections import Snip, Wanda
from tiny_llama import random_llama, train_tokenizer


@contextmanager
def cramped(model: Any, most: int) -> Iterator[list[int]]:
    """Let a late layer refuse more than ``most`` rows; yield the rows of all its calls."""
    seen: list[int] = []

    def refuse(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(inputs[0]))
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError

    handle = decoder_layers(model)[-1].mlp.register_forward_pre_hook(refuse)
    try:
        yield seen
    finally:
        handle.remove()


def test_rows_are_halved_for_good(capsys: pytest.CaptureFixture[str]) -> None:
    halving, tried = Halving("work", "do less"), []

    def run(rows: slice) -> list[int]:
        tried.append(rows.stop - rows.start)
        if rows.stop - rows.start > 3:
            raise torch.OutOfMemoryError
        return list(range(rows.start, rows.stop))

    assert list(chain.from_iterable(halving(run, 13))) == list(range(13))
    assert tried == [13, 6, 3, 3, 3, 3, 1]
    assert list(chain.from_iterable(halving(run, 4))) == list(range(4))
    assert tried[7:] == [3, 1]
    assert capsys.readouterr().err.splitlines() == [
        "work: out of memory, now 6 rows a batch",
        "work: out of memory, now 3 rows a batch",
    ]


def test_one_row_too_many_is_told() -> None:
    def run(_rows: slice) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(HoldfastError, match=r"out of memory in work, with one row .*: do less or"):
        Halving("work", "do less")(run, 5)


def test_other_errors_are_not_hidden() -> None:
    def run(_rows: slice) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Halving("work", "do less")(run, 5)


def perplexity(model: Any) -> list[float]:
    ids = torch.arange(5, 35).repeat(7)[: 13 * 16].view(13, 16)
    return window_nll(model, ids, batch_size=6).nll


def wanda_scores(model: Any) -> list[float]:
    settings = Wanda(samples=9, batch_size=6)
    return list(wanda.score_layers(model, tiny_llama.examples(9), settings).values())


@pytest.mark.parametrize("measure", [perplexity, wanda_scores])
def test_a_batch_that_does_not_fit_is_halved(measure: Callable[[Any], list[float]]) -> None:
    model = tiny_llama.model()
    expected = measure(model)
    with cramped(model, most=2) as rows:
        found = measure(model)
    assert found == pytest.approx(expected, rel=1e-5)
    assert [count for count in rows if count > 2] == [6, 3]
    with cramped(model, most=0), pytest.raises(HoldfastError, match="with one row at a time"):
        measure(model)
    assert measure(model) == expected  # nothing is left of what failed


def test_a_sample_too_long_for_snip_is_told() -> None:
    model = tiny_llama.model()
    with cramped(model, most=0), pytest.raises(HoldfastError, match=r"SNIP.*: lower data.max_len"):
        snip.score_layers(model, tiny_llama.examples(3), Snip(samples=3))
    assert not any(p.requires_grad and p.grad is not None for p in model.parameters())


def test_lm_eval_begins_again_with_half_the_batch(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    texts = [f"flour {n} and water {n * n}" for n in range(12)]
    rows = [
        {"question": text, "choices": ["salt", "time"], "answer": n % 2}
        for n, text in enumerate(texts)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    config = {"doc_to_text": "question", "doc_to_choice": "choices", "doc_to_target": "answer"}
    tasks = {"bakery": {"data": {"path": "rows.jsonl"}, "config": config}}
    settings = LmEvalSettings.model_validate({"tasks": tasks, "batch_size": 8})
    tokenizer = train_tokenizer(texts, vocabulary=300)
    model = random_llama(len(tokenizer))
    documents = {"bakery": tmp_path / "rows.jsonl"}
    expected = LmEval(settings, documents).evaluate(model, tokenizer)
    lm_eval = LmEval(settings, documents)
    with cramped(model, most=3) as seen:
        assert lm_eval.evaluate(model, tokenizer) == expected
        assert seen[:2] == [8, 4]
        refused = len(seen)
        assert lm_eval.evaluate(model, tokenizer) == expected
        assert max(seen[refused:]) == 2  # the next state of the model begins where this one ended
    with cramped(model, most=0), pytest.raises(HoldfastError, match="out of memory in lm-eval"):
        lm_eval.evaluate(model, tokenizer)
