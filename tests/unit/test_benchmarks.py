"""The benchmark's own parts: what it reports, and that both ways of a row agree."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import agreement, plain, report, utilization, worker
from benchmarks.measure import Contest, Cost, Result, compete, cost
from benchmarks.models import SHAPES, TINY, Bench, tokenizer
from holdfast.engine.batches import make_batches
from holdfast.engine.loss import response_loss

MIB = 2**20


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(TINY, "cpu", rounds=1)


def result(ours: float | None = 1.0, limit: float | None = 0.5) -> Result:
    return Result("a row", "s", ours, 4.0, limit, 3, 10 * MIB, None, "all equal")


def test_the_table_shows_the_ratio_and_whether_its_limit_holds() -> None:
    held, missed, unlimited, misfit = report.table(
        [result(), result(3.0), result(limit=None), result(None)]
    ).splitlines()[2:]
    assert held == ("| a row | 1 s | 4 s | **0.25** | 0.50 | yes | 10 MiB | – | 3 | all equal |")
    assert "| **0.75** | 0.50 | **no** |" in missed
    assert "| **0.25** | – | – |" in unlimited
    assert "| does not fit | 4 s | – | 0.50 | – |" in misfit


def test_the_page_names_sizes_versions_and_every_section() -> None:
    page = report.report({"1 thread": [result()], "2 threads": [result()]}, "CPU", str(TINY))
    assert page.startswith("# Benchmark: CPU\n")
    assert "8 decoder layers, hidden size 64" in page
    assert f"torch {torch.__version__}" in page
    assert page.count("| a row |") == 2
    assert page.index("## 1 thread") < page.index("## 2 threads")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0123, "s", "12.3 ms"), (61.0, "s", "61 s"), (3 * 2**30, "B", "3,072 MiB")],
)
def test_quantities_have_units(value: float, unit: str, text: str) -> None:
    assert report.quantity(value, unit) == text


def test_a_file_is_named_after_its_device() -> None:
    assert report.slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"


def test_sides_take_turns_after_the_check() -> None:
    calls: list[str] = []
    contest = Contest(
        "turns",
        ours=lambda: calls.append("ours"),
        plain=lambda: calls.append("plain"),
        check=lambda: calls.append("check") or "fine",
        long=True,
    )
    assert compete(contest, "cpu", 5, 0).note == "fine"
    assert calls == ["check", "ours", "plain", "ours", "plain"]


def test_a_side_without_memory_is_left_out() -> None:
    def exhausted() -> None:
        raise torch.OutOfMemoryError

    found = compete(Contest("misfit", ours=lambda: None, plain=exhausted), "cpu", 1, 0)
    assert found.ours is not None
    assert (found.plain, found.peak_plain, found.ratio) == (None, None, None)


def test_peak_memory_counts_what_is_freed_again() -> None:
    found: Cost = cost(lambda: torch.ones(64 * MIB // 4), "cpu", model_bytes=MIB)
    assert 64 * MIB <= found.peak < 80 * MIB


def test_unequal_losses_are_called_so() -> None:
    assert (
        agreement.losses([1.0, 2.0], [1.0, 2.0]) == "losses that spread over 1e+00 agree to 0e+00"
    )
    assert agreement.losses([1.01], [1.0]) == "losses differ by 1e-02"


def test_the_tokenizer_has_a_word_for_every_token_of_the_model() -> None:
    words = tokenizer(TINY.vocabulary)
    assert len(words) == TINY.vocabulary
    assert words("w9 w511")["input_ids"] == [9, 511]


def test_the_plain_loss_does_not_depend_on_the_batches(bench: Bench) -> None:
    examples = bench.examples(5)
    whole = plain.loss(bench.model, plain.batches(examples, 5))
    assert plain.loss(bench.model, plain.batches(examples, 2)) == pytest.approx(whole, rel=1e-6)
    assert response_loss(bench.model, make_batches(examples, 3)) == pytest.approx(whole, rel=1e-6)


def test_the_plain_step_moves_along_the_directions_it_measured(bench: Bench) -> None:
    batches = plain.batches(bench.examples(4), 4)
    kept = {name: tensor.clone() for name, tensor in bench.parameters.items()}
    plus, minus = plain.zo_step(
        bench.model, bench.parameters, batches, directions=[5], beta=1e-3, rate=1e-2
    )
    torch.manual_seed(5)
    for name, tensor in bench.parameters.items():
        expected = kept[name] - 1e-2 * (plus - minus) / 2e-3 * torch.randn_like(tensor)
        torch.testing.assert_close(tensor, expected)
        tensor.copy_(kept[name])


def test_flops_are_two_a_weight_and_token(bench: Bench) -> None:
    examples = bench.examples(3)
    tokens = sum(len(example.input_ids) for example in examples)
    responses = sum(len(example.input_ids) - example.labels_from for example in examples)
    layer = sum(parameter.numel() for parameter in bench.model.model.layers[0].parameters())
    head = bench.model.lm_head.weight.numel()
    expected = 2 * (2 * layer * tokens + head * responses)
    assert utilization.evaluation_flops(bench, examples, TINY.layers - 2) == expected


@pytest.mark.parametrize("row", ["evaluation", "sensitivity", "targeted", "full"])
def test_rows_compute_the_same_losses_both_ways(bench: Bench, row: str) -> None:
    results = worker.measure(bench, [row])
    assert results
    for found in results:
        assert found.ratio
        assert "agree to" in found.note or found.note == "as with q = 1"


@pytest.mark.parametrize(("row", "what"), [("generation", "completions"), ("judging", "verdicts")])
def test_rows_give_equal_answers_both_ways(bench: Bench, row: str, what: str) -> None:
    (found,) = worker.measure(bench, [row])
    equal, _, count, *_ = found.note.split()
    assert equal == count
    assert what in found.note


def test_the_worker_writes_results_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "results.json"
    threads = torch.get_num_threads()
    arguments = f"worker --shape tiny --device cpu --threads {threads} --rounds 1 --rows noise"
    monkeypatch.setattr(sys, "argv", [*arguments.split(), "--into", str(into)])
    worker.main()
    results = [Result(**entry) for entry in json.loads(into.read_text())]
    assert len(results) == 2
    assert all(found.ratio for found in results)


def test_shapes_name_layers_that_exist() -> None:
    for shape in SHAPES.values():
        assert max(shape.selected) < shape.layers
        assert shape.hidden % shape.group == shape.intermediate % shape.group == 0
