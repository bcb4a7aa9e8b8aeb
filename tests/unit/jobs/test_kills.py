"""SIGKILL at a chosen point of every long stage: what runs again ends in the same bytes.

Each stage is run undisturbed, and then twice in another folder: by a process that is killed, and
by one that is not. What is compared is everything that the stage leaves outside its scratch folder.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_llama
from holdfast.arms import first_order as first_order_module
from holdfast.arms import training_state
from holdfast.arms.load import load_arm
from holdfast.arms.make import make_first_order, make_zeroth_order
from holdfast.data.outputs import CompletionRow
from holdfast.evaluation import evaluate
from holdfast.files.atomic import (
    read_json,
    read_jsonl,
    sha256,
    write_json,
    write_jsonl,
)
from holdfast.files.journal import Journal
from holdfast.files.typed import read_rows
from holdfast.judges.run import Completions, judge_completions
from holdfast.judges.verdict import Given
from holdfast.layers.make import make_scores
from holdfast.perturbations import gptq
from holdfast.perturbations.quantize import make_quantized
from holdfast.settings.evaluation import Generation, Utility
from holdfast.settings.judges import HarmBench
from holdfast.settings.perturbations import Gptq, WeightNoise
from holdfast.settings.selections import Robustness, Snip
from holdfast.settings.stages import FirstOrder, ZerothOrder
from places import HELPERS, ROOT

PROMPTS = [" ".join(f"w{n}" for n in range(k, k + 2 + k % 4)) for k in range(8)]
TEMPLATE = {
    "prompt": "{behavior} {generation}",
    "prompt_contextual": "{context} {behavior} {generation}",
}


class NoTasks:
    """Stands for lm-eval, whose answers are part of a cell's last journal line."""

    def __init__(self, *_: Any) -> None: ...

    def evaluate(self, *_: Any) -> dict[str, Any]:
        return {}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# The stages: what they read is in ``given``, what they leave goes to ``made``.


def first_order(given: Path, made: Path) -> None:
    settings = FirstOrder(
        steps=6, save_every=2, batch_size=4, learning_rate=0.05, momentum=0.5, compute="float32"
    )
    _, history = make_first_order(settings, **common(given, made))
    write_json(made / "history.json", [vars(step) for step in history])


def zeroth_order(given: Path, made: Path) -> None:
    settings = ZerothOrder(steps=4, learning_rate=0.05, directions=2, momentum=0.5)
    make_zeroth_order(settings, selection=None, **common(given, made))


def common(given: Path, made: Path) -> dict[str, Any]:
    paths = {"parent": given / "base", "data": given / "pairs.jsonl"}
    places = {"weights": made / "weights", "scratch": made / "scratch"}
    return {**paths, **places, "max_length": 64, "seed": 0}


def generation(given: Path, made: Path) -> None:
    evaluate.LmEval = NoTasks  # type: ignore[attr-defined,assignment,misc]
    asked = evaluate.Evaluation(
        Generation(max_new_tokens=6, batch_size=3),
        Utility.model_validate(
            {"perplexity": {"window": 16}, "lm_eval": {"tasks": {"arc_easy": {}}}}
        ),
        behaviors=given / "behaviors.jsonl",
        benign=given / "benign.jsonl",
        perplexity=given / "texts.json",
        tasks={},
    )
    evaluate.evaluate(
        asked,
        WeightNoise(kind="weight_noise", levels=[30, 60], draws=1),
        arm=given / "base",
        weights="w",
        seed=0,
        journal=Journal(made / "scratch" / "weight_noise.jsonl", {"work": 1}),
        folder=made,
    )


def judging(given: Path, made: Path) -> None:
    def load() -> tuple[Any, Any]:
        loaded = load_arm(given / "judge")
        return loaded.model, loaded.tokenizer

    judge_completions(
        HarmBench.model_validate(
            {
                "kind": "harmbench",
                "model": {"path": "judge", "layers": 3},
                "template": {"path": "template.json"},
                "batch_size": 2,
            }
        ),
        Given(load, given / "template.json"),
        behaviors=read_jsonl(given / "behaviors.jsonl"),
        completions=[
            Completions(
                "none",
                read_rows(CompletionRow, given / "completions.jsonl"),
                made / "verdicts.jsonl",
            )
        ],
        journal_path=made / "scratch" / "harmbench.jsonl",
    )


def robustness_scores(given: Path, made: Path) -> None:
    score(Robustness(draws=2, rho=0.05, quant_group_size=8, batch_size=3), given, made)


def snip_scores(given: Path, made: Path) -> None:
    score(Snip(samples=6), given, made)


def score(settings: Robustness | Snip, given: Path, made: Path) -> None:
    paths = {"data": given / "pairs.jsonl", "scratch": made / "scratch"}
    lineage = [given / "base"]
    found = make_scores(settings, lineage=lineage, **paths, max_length=64, layers=range(3), seed=0)
    write_json(made / "scores.json", found)


def quantization(given: Path, made: Path) -> None:
    levels = {"g8": {"bits": 4, "group_size": 8}, "channel": {"bits": 4, "group_size": "channel"}}
    make_quantized(
        Gptq.model_validate({"kind": "gptq", "levels": levels}),
        arm=given / "base",
        lineage=[given / "base"],
        data=given / "pairs.jsonl",
        folder=made / "quantized",
        scratch=made / "scratch",
    )


# Where a process is killed: the n-th time that something is about to happen, or has happened.


def nth(owner: Any, name: str, number: int, act: Callable[..., None]) -> None:
    """Let ``act`` take the place of the ``number``-th call of ``owner.name``."""
    real, calls = getattr(owner, name), iter(range(1, number))

    def counted(*arguments: Any, **named: Any) -> Any:
        if next(calls, None) is None:
            act(*arguments, **named)
            die()
        return real(*arguments, **named)

    setattr(owner, name, counted)


def after_a_line(number: int) -> None:
    nth(Journal, "append", number, Journal.append)


def within_a_line(number: int) -> None:
    def half(journal: Journal, key: str, value: Any) -> None:
        size = journal.path.stat().st_size
        append(journal, key, value)
        os.truncate(journal.path, (size + journal.path.stat().st_size) // 2)

    append = Journal.append
    nth(Journal, "append", number, half)


def within_a_state(number: int) -> None:
    def half(state: Any, file: Any) -> None:
        save(state, file)
        file.truncate(file.tell() // 2)

    save = torch.save
    nth(training_state.torch, "save", number, half)


def before_a_rename(number: int) -> None:
    nth(Path, "replace", number, lambda *_: None)


def before_a_level(number: int) -> None:
    nth(gptq, "quantize_checkpoint", number, lambda *_: None)


# The last number is what is left to do after it: steps, completions and cells, batches, layers
# (and the unperturbed loss), samples, levels.
KILLS = [
    (first_order, before_a_rename, 2, 4),  # of the second state
    (first_order, within_a_state, 2, 4),
    (first_order, before_a_rename, 4, 2),  # of the finished weights, after the checkpoint in them
    (zeroth_order, after_a_line, 1, 5),  # of the curvature, before the first step
    (zeroth_order, after_a_line, 3, 2),
    (zeroth_order, within_a_line, 4, 2),
    (generation, after_a_line, 5, 15),  # within a batch
    (generation, within_a_line, 8, 13),
    (generation, after_a_line, 10, 10),  # of the first cell, all of it
    (judging, within_a_line, 1, 5),  # the list of what is asked, before four batches
    (judging, after_a_line, 3, 2),
    (judging, within_a_line, 4, 2),
    (robustness_scores, after_a_line, 2, 2),  # of the first layer of three
    (robustness_scores, within_a_line, 4, 1),  # of the last one
    (snip_scores, after_a_line, 4, 2),
    (snip_scores, within_a_line, 4, 3),
    (quantization, before_a_level, 2, 1),
    (quantization, before_a_rename, 3, 0),  # of the folder of both levels
]
PIECES = ((Journal, "append"), (first_order_module, "_step"), (gptq, "quantize_checkpoint"))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    save(folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_llama, "VOCABULARY", [*tiny_llama.VOCABULARY[:-2], "yes", "no"])
        save(folder / "judge")
    pairs = [{"prompt": prompt, "response": prompt[::-1]} for prompt in PROMPTS]
    write_jsonl(folder / "pairs.jsonl", pairs)
    rows = [
        {"id": f"b{n}", "behavior": p, "context": "", "tags": []} for n, p in enumerate(PROMPTS)
    ]
    write_jsonl(folder / "behaviors.jsonl", rows)
    benign = [{"id": f"n{n}", "prompt": prompt} for n, prompt in enumerate(PROMPTS[:4])]
    write_jsonl(folder / "benign.jsonl", benign)
    write_json(folder / "texts.json", PROMPTS * 3)
    said = [
        {"level": "", "draw": 0, "set": "behaviors", "id": f"b{n}"}
        | {"completion": f"w{n} w{n + 9}", "tokens": 2, "finished": True}
        for n in range(len(PROMPTS))
    ]
    write_jsonl(folder / "completions.jsonl", said)
    write_json(folder / "template.json", TEMPLATE)
    return folder


def save(folder: Path) -> None:
    tiny_llama.model().save_pretrained(folder / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(folder / "checkpoint")
    about = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(folder / "model.json", about | {"dtype": "float32"})


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Processes that are forked from one that has imported this file and computed nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in (HELPERS, ROOT):
            patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        yield context


@pytest.fixture(scope="module")
def undisturbed(given: Path, processes: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a stage leaves if nobody kills it, by stage."""
    known: dict[Any, dict[str, str]] = {}

    def left(stage: Any) -> dict[str, str]:
        if stage not in known:
            folder = tmp_path_factory.mktemp("whole")
            assert finish(processes, run, stage, given, folder) == 0
            known[stage] = contents(folder)
        return known[stage]

    return left


def run(stage: Callable[[Path, Path], None], given: Path, made: Path) -> None:
    """Run a stage and write down how many pieces of work it did."""
    done = []
    for owner, name in PIECES:
        count(owner, name, done)
    stage(given, made)
    write_json(made / "scratch.pieces", len(done))


def count(owner: Any, name: str, calls: list[str]) -> None:
    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        return real(*arguments, **named)

    real = getattr(owner, name)
    setattr(owner, name, counted)


def run_and_die(
    stage: Callable[[Path, Path], None],
    given: Path,
    made: Path,
    where: Callable[[int], None],
    number: int,
) -> None:
    where(number)
    stage(given, made)


def finish(processes: Any, what: Callable[..., None], *arguments: Any) -> int:
    process = processes.Process(target=what, args=arguments)
    process.start()
    process.join()
    return int(process.exitcode)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)): path for path in files}
    return {name: sha256(p) for name, p in names.items() if not name.startswith("scratch")}


@pytest.mark.parametrize(
    ("stage", "where", "number", "left"),
    KILLS,
    ids=[f"{stage.__name__}-{where.__name__}-{number}" for stage, where, number, _ in KILLS],
)
def test_a_killed_stage_loses_nothing_and_ends_in_the_same_bytes(
    stage: Any,
    where: Any,
    number: int,
    left: int,
    given: Path,
    processes: Any,
    undisturbed: Any,
    tmp_path: Path,
) -> None:
    expected = undisturbed(stage)
    assert expected
    died = finish(processes, run_and_die, stage, given, tmp_path, where, number)
    assert died == -signal.SIGKILL
    torn = contents(tmp_path)
    whole = {name for name in torn if ".part" not in name}
    assert whole < set(expected), "a killed stage left all its results"
    assert all(torn[name] == expected[name] for name in whole), "a torn file has a good one's name"
    assert finish(processes, run, stage, given, tmp_path) == 0
    assert contents(tmp_path) == expected
    assert read_json(tmp_path / "scratch.pieces") == left
