"""Perplexity, lm-eval and over-refusal against plain loops and hand-made likelihoods."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from holdfast.data.outputs import ItemScores
from holdfast.data.texts import load_texts
from holdfast.errors import HoldfastError
from holdfast.evaluation.lm_eval import LmEval
from holdfast.evaluation.perplexity import bos_share, perplexity, window_nll, windows
from holdfast.files.atomic import write_jsonl
from holdfast.settings.evaluation import LmEvalSettings, LmEvalTask, PerplexitySettings
from tiny_llama import random_llama, train_tokenizer

ROWS = ["", " = Bread = \n", "Flour and water, salt and time.", "Bake until brown."] * 12


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(ROWS, vocabulary=300)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    return random_llama(len(tokenizer))


@torch.no_grad()
def _plain_nll(model: Any, tokens: list[int], window: int) -> list[float]:
    """GPTQ's evaluation as a plain loop over windows and positions."""
    means = []
    for start in range(0, len(tokens) - window + 1, window):
        part = tokens[start : start + window]
        logits = model(input_ids=torch.tensor([part])).logits[0].double().log_softmax(dim=-1)
        means.append(-sum(float(logits[i, part[i + 1]]) for i in range(window - 1)) / (window - 1))
    return means


@pytest.mark.parametrize("batch_size", [1, 4])
def test_window_nll_matches_a_plain_loop(model: Any, tokenizer: Any, batch_size: int) -> None:
    tokens = tokenizer("\n\n".join(ROWS))["input_ids"]
    expected = _plain_nll(model, tokens, 32)
    result = window_nll(model, windows(tokenizer, ROWS, 32), batch_size)
    assert len(tokens) % 32  # a tail is dropped
    assert result.nll == pytest.approx(expected, rel=1e-5)
    assert result.tokens == [31] * len(expected)
    assert perplexity(result) == pytest.approx(math.exp(sum(expected) / len(expected)), rel=1e-5)


def test_rows_are_joined_by_blank_lines_and_begun_once(tokenizer: Any) -> None:
    ids = windows(tokenizer, ROWS, 16).flatten()
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert "\n\n".join(ROWS).startswith(text)
    assert int((ids == tokenizer.bos_token_id).sum()) == 1
    assert ids[0] == tokenizer.bos_token_id


def test_every_window_begins_on_request(tokenizer: Any) -> None:
    plain, begun = windows(tokenizer, ROWS, 16), windows(tokenizer, ROWS, 16, bos=True)
    assert begun.shape[1] == 16
    assert (begun[:, 0] == tokenizer.bos_token_id).all()
    text, expected = begun[:, 1:].flatten(), plain.flatten()[1:]
    count = min(len(text), len(expected))
    assert count > 64
    assert torch.equal(text[:count], expected[:count])  # nothing is left out or read twice
    with pytest.raises(HoldfastError, match=r"perplexity\.bos is true, but the tokenizer has no"):
        windows(SimpleNamespace(bos_token_id=None), ROWS, 16, bos=True)


def test_a_model_that_needs_a_beginning_is_told_apart(model: Any, tokenizer: Any) -> None:
    ids = windows(tokenizer, ROWS, 32)
    needy = Needy(model, tokenizer.bos_token_id)
    assert bos_share(needy, tokenizer, ids) > 0.5
    assert bos_share(needy, tokenizer, ids[:1]) == 0.0  # begins with it anyway
    assert bos_share(model, tokenizer, ids) < 0.5
    without = _plain_nll(model, ids[-1, :-1].tolist(), 31)[0]
    whole = [tokenizer.bos_token_id, *ids[-1, :-1].tolist()]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(dim=-1)
    begun = -sum(float(logits[i, whole[i + 1]]) for i in range(1, 31)) / 30
    expected = (without - begun) / without
    assert bos_share(model, tokenizer, ids) == pytest.approx(expected, rel=1e-3)


def test_a_share_that_is_no_finite_number_is_not_measured(model: Any, tokenizer: Any) -> None:
    ids = windows(tokenizer, ROWS, 32)
    assert bos_share(Needy(model, tokenizer.bos_token_id, math.inf), tokenizer, ids) is None


class Needy:
    """A model whose logits are ``gain`` times as large once it has seen how texts begin."""

    def __init__(self, model: Any, bos: int, gain: float = 10) -> None:
        self.model, self.bos, self.gain = model, bos, gain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, input_ids: torch.Tensor, **named: Any) -> Any:
        out = self.model(input_ids=input_ids, **named)
        if input_ids[0, 0] != self.bos:
            out.logits = out.logits * self.gain
        return out


def test_settings_without_it_are_the_settings_of_before() -> None:
    assert PerplexitySettings().model_dump() == {"window": 2048, "batch_size": 1}
    assert PerplexitySettings(bos=True).model_dump()["bos"] is True


def test_a_text_shorter_than_a_window_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(HoldfastError, match=r"window: the text has 3 tokens.* window of 8"):
        windows(tokenizer, ["xy"], 8)


def test_real_wikitext_in_windows_of_2048(real_data: Path) -> None:
    rows = load_texts(real_data / "wikitext-2" / "wikitext2_raw_test_rows.json", {})
    tokenizer = train_tokenizer(rows[:200], vocabulary=500)
    ids = windows(tokenizer, rows, 2048)
    count = len(tokenizer("\n\n".join(rows))["input_ids"])
    assert ids.shape == (count // 2048, 2048)
    model = random_llama(len(tokenizer))
    result = window_nll(model, ids[:1])
    assert result.nll == pytest.approx(_plain_nll(model, ids[0].tolist(), 2048), rel=1e-5)


QUESTIONS = [
    {"question": "Flour and", "choices": ["water", "time", "salt and"], "answer": 0},
    {"question": "Bake until", "choices": ["Bread", "brown", "x"], "answer": 1},
    {"question": "Salt", "choices": ["and time", "water"], "answer": 1},
    {"question": "Flour", "choices": ["and", "until", "brown water"], "answer": 0},
] * 5
CONFIG = {"doc_to_text": "question", "doc_to_choice": "choices", "doc_to_target": "answer"}
LOCAL = {"data": {"path": "questions.jsonl"}, "config": CONFIG}


def _lm_eval(folder: Path, **options: Any) -> LmEval:
    pytest.importorskip("lm_eval")
    write_jsonl(folder / "questions.jsonl", QUESTIONS)
    settings = LmEvalSettings.model_validate(
        {"tasks": {"bakery": LOCAL}, "batch_size": 8} | options
    )
    return LmEval(settings, {"bakery": folder / "questions.jsonl"})


@torch.no_grad()
def _accurate(model: Any, tokenizer: Any, row: dict[str, Any]) -> float:
    """Whether the right choice has the highest log-likelihood per character."""
    scores = []
    for choice in row["choices"]:
        context = tokenizer(row["question"])["input_ids"]
        whole = tokenizer(f"{row['question']} {choice}")["input_ids"]
        logits = model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(dim=-1)
        positions = range(len(context), len(whole))
        scores.append(sum(float(logits[i - 1, whole[i]]) for i in positions) / len(choice))
    return float(scores.index(max(scores)) == row["answer"])


def test_local_task_scores_every_item(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    result = _lm_eval(tmp_path).evaluate(model, tokenizer)
    expected = [_accurate(model, tokenizer, row) for row in QUESTIONS]
    assert result == {"bakery": ItemScores(metric="acc_norm", scores=expected)}
    assert 0 < sum(expected) < len(expected)


def test_tasks_are_loaded_once_for_many_states_of_a_model(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    lm_eval = _lm_eval(tmp_path, limit=6)
    first = lm_eval.evaluate(model, tokenizer)
    assert len(first["bakery"].scores) == 6
    started = time.process_time()
    other = lm_eval.evaluate(random_llama(len(tokenizer), seed=5), tokenizer)
    assert time.process_time() - started < 2  # 0.05 s on a quiet machine
    assert other != first
    assert lm_eval.evaluate(model, tokenizer) == first


def test_hooks_and_changed_weights_are_seen(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    lm_eval = _lm_eval(tmp_path)
    clean = lm_eval.evaluate(model, tokenizer)
    shapes = []

    def reverse(module: Any, inputs: Any, output: Any) -> Any:
        shapes.append(tuple(output.shape))
        return -output

    handle = model.model.layers[0].register_forward_hook(reverse)
    hooked = lm_eval.evaluate(model, tokenizer)
    handle.remove()
    assert shapes
    assert hooked != clean
    assert lm_eval.evaluate(model, tokenizer) == clean


def test_lm_eval_mistakes_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs `data` and `config`"):
        LmEvalTask.model_validate({"config": {}})
    for config, complaint in (
        ({"doc_to_txt": "question"}, "bakery.config: lm-eval does not accept it"),
        (CONFIG | {"metric_list": [{"metric": "f1"}]}, "neither acc_norm nor acc"),
    ):
        task = {"data": {"path": "q"}, "config": config}
        with pytest.raises(HoldfastError, match=complaint):
            _lm_eval(tmp_path, tasks={"bakery": task})


def test_a_group_is_the_items_of_its_tasks(
    tmp_path: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval import tasks

    path = tmp_path / "questions.json"
    path.write_text(json.dumps(QUESTIONS[:3]))
    names = ["bread", "cake"]
    yaml = "\n".join(
        [
            "task: {name}",
            "dataset_path: json",
            f"dataset_kwargs: {{{{data_files: {{{{test: {path}}}}}, cache_dir: {tmp_path}}}}}",
            "test_split: test",
            "output_type: multiple_choice",
            *(f"{key}: {value}" for key, value in CONFIG.items()),
            "metric_list: [{{metric: acc}}, {{metric: acc_norm}}]",
        ]
    )
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name in names:
        (folder / f"{name}.yaml").write_text(yaml.format(name=name))
    group = "group: bakery\ntask: [bread, cake]\naggregate_metric_list: [{metric: acc}]\n"
    (folder / "bakery.yaml").write_text(group)
    real = tasks.TaskManager
    monkeypatch.setattr(
        tasks, "TaskManager", lambda **_: real(include_path=str(folder), include_defaults=False)
    )
    settings = LmEvalSettings.model_validate({"tasks": {"bakery": {}}})
    whole = LmEval(settings, {}).evaluate(model, tokenizer)
    each = LmEvalSettings.model_validate({"tasks": {"bread": {}}})
    one = LmEval(each, {}).evaluate(model, tokenizer)
    assert whole["bakery"].metric == "acc"  # the one the group aggregates
    assert len(whole["bakery"].scores) == 6
    assert one["bread"].metric == "acc_norm"
    wrong = LmEvalSettings.model_validate({"tasks": {"bakry": {}}})
    with pytest.raises(HoldfastError, match=r"bakry: .* did you mean 'bakery'"):
        LmEval(wrong, {})
    (folder / "cake.yaml").write_text(yaml.format(name="cake").replace("test_split", "split"))
    with pytest.raises(HoldfastError, match="bakery: lm-eval could not load it"):
        LmEval(settings, {})
