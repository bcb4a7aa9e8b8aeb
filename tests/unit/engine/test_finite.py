"""Logits that are no finite numbers are told at the first batch, whatever reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_llama
from holdfast.errors import HoldfastError
from holdfast.evaluation.lm_eval import LmEval
from holdfast.evaluation.perplexity import window_nll
from holdfast.files.atomic import write_jsonl
from holdfast.files.journal import Journal
from holdfast.judges.label_logits import read_answers
from holdfast.layers import robustness, snip, wanda
from holdfast.settings.evaluation import LmEvalSettings
from holdfast.settings.selections import Robustness, Snip, Wanda

EXAMPLES = tiny_llama.examples(4)
PROMPTS = {number: [1, 5 + number, 7, 2] for number in range(4)}


def overflowing() -> Any:
    """A float16 model whose last layer goes beyond 65,504, as some published ones do."""
    model = tiny_llama.model(torch.float16)
    model.model.norm.weight.data.fill_(60000)
    return model


def perplexity(model: Any, _folder: Path) -> None:
    window_nll(model, torch.arange(5, 37).view(4, 8))


def judge(model: Any, _folder: Path) -> None:
    read_answers(model, PROMPTS, ([5], [6]), 2, lambda _answers: pytest.fail("was told"))


def sensitivity(model: Any, folder: Path) -> None:
    journal = Journal(folder / "scores.jsonl", {})
    try:
        robustness.score_layers(
            model, EXAMPLES, Robustness(quant_group_size=8), layers=[0], seed=0, journal=journal
        )
    finally:
        assert "0 base" not in journal


def gradients(model: Any, _folder: Path) -> None:
    snip.score_layers(model, EXAMPLES, Snip())


def inputs(model: Any, _folder: Path) -> None:
    wanda.score_layers(model, EXAMPLES, Wanda())


def accuracy(model: Any, folder: Path) -> None:
    write_jsonl(folder / "rows.jsonl", [{"q": "w1 w2", "choices": ["w3", "w4"], "gold": 0}])
    config = {"doc_to_text": "{{q}}", "doc_to_choice": "{{choices}}", "doc_to_target": "{{gold}}"}
    task = {"data": {"path": "rows.jsonl"}, "config": config}
    settings = LmEvalSettings.model_validate({"tasks": {"tiny": task}})
    documents = {"tiny": folder / "rows.jsonl"}
    LmEval(settings, documents).evaluate(model, tiny_llama.tokenizer())


@pytest.mark.parametrize(
    "read", [perplexity, judge, sensitivity, gradients, inputs, accuracy], ids=lambda f: f.__name__
)
def test_logits_that_are_no_numbers_are_told(
    read: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    with pytest.raises(HoldfastError) as told:
        read(overflowing(), tmp_path)
    assert "the logits of LlamaForCausalLM are no finite numbers in float16" in str(told.value)
    assert "set `dtype: bfloat16` or `dtype: float32`" in str(told.value)


def test_a_perturbation_too_strong_for_a_layer_is_told() -> None:
    settings = Robustness(quant_group_size=8, rho=1e30)
    with pytest.raises(HoldfastError, match="once layer 0 is perturbed: lower rho"):
        robustness.score_layers(tiny_llama.model(), EXAMPLES, settings, layers=[0], seed=0)
