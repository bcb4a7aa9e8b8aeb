"""First-order training by several processes: the result of one process, whatever their number.

Processes are forked from a server that has imported everything; one test starts them as jobs do.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing import set_forkserver_preload, start_processes
from torch.multiprocessing.spawn import ProcessException
from transformers import AutoModelForCausalLM, LlamaForCausalLM

import tiny_llama
from holdfast.arms import distributed, first_order, training_state
from holdfast.arms.distributed import train_on_ranks
from holdfast.arms.first_order import train
from holdfast.arms.make import forget, make_first_order
from holdfast.arms.training_state import CHECKPOINT, TrainingStep, load_trained
from holdfast.checkpoints.export import save_checkpoint
from holdfast.engine import limits, loss
from holdfast.errors import HoldfastError
from holdfast.files.atomic import write_json, write_jsonl
from holdfast.settings.stages import FirstOrder

EXAMPLES = tiny_llama.examples(30)


@pytest.fixture
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    set_forkserver_preload(["holdfast.arms.make", "holdfast.arms.distributed", "tiny_llama"])
    start = partial(start_processes, start_method="forkserver")
    monkeypatch.setattr(distributed.multiprocessing, "spawn", start)


def settings(**changes: object) -> FirstOrder:
    plain = {"steps": 6, "learning_rate": 0.05, "compute": "float32", "save_every": 2}
    return FirstOrder(**plain | changes)


def llama(*, tied: bool) -> LlamaForCausalLM:
    config = tiny_llama.model().config
    config.tie_word_embeddings = tied
    torch.manual_seed(0)
    made = LlamaForCausalLM(config).eval()
    assert (made.lm_head.weight is made.model.embed_tokens.weight) == tied
    return made


def load(tied: bool = True) -> Any:
    return llama(tied=tied), EXAMPLES


def load_with_narrow_head(tied: bool) -> Any:
    """The output layer sees three positions at a time, so that ranks call it unequally often."""
    limits.LOGITS_BYTES = 4 * len(tiny_llama.VOCABULARY) * 3
    model, examples = load(tied)
    assert loss._positions(model) == 3
    return model, examples


def stored_steps(state: Path) -> int:
    return len(torch.load(state)["history"]) if state.exists() else 0


def load_and_stop(at: int, how: str) -> Any:
    """A rank ends in some way, once the state of ``at`` steps is there or while it is written."""
    save, write = first_order.save_state, torch.save

    def save_then_stop(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        history: list[TrainingStep] = arguments[4]
        if len(history) != at or named["writes"]:
            return
        while stored_steps(arguments[0]) < at:  # by another rank, which this one's end would end
            time.sleep(0.05)
        if how == "raise":
            raise RuntimeError("this rank is broken")
        os.kill(os.getpid(), signal.SIGKILL)

    def write_half(state: Any, file: Any) -> None:
        write(state, file)
        if len(state["history"]) == at:
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    if how == "half":
        training_state.torch.save = write_half
    else:
        first_order.save_state = save_then_stop
    return load()


def one_process(model: Any, chosen: FirstOrder, scratch: Path) -> tuple[Any, list[TrainingStep]]:
    return model, train(model, EXAMPLES, chosen, seed=3, scratch=scratch)


def on_ranks(
    count: int, chosen: FirstOrder, scratch: Path, made: Any = load
) -> tuple[Any, list[TrainingStep]]:
    cost = train_on_ranks(made, chosen, seed=3, scratch=scratch, processes=count)
    assert cost.peak_memory_bytes > 0
    model, _ = made()
    return model, load_trained(scratch / CHECKPOINT, model)


def same(ours: Any, theirs: Any, *, tolerance: float = 1e-5) -> None:
    """Whether two trainings agree: weights, losses, gradient norms and everything else."""
    for name, parameter in ours[0].named_parameters():
        expected = theirs[0].get_parameter(name)
        torch.testing.assert_close(parameter, expected, rtol=0, atol=tolerance)
    assert len(ours[1]) == len(theirs[1])
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert vars(mine) == pytest.approx(vars(other), rel=tolerance)


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize(
    ("count", "changes"),
    [
        (1, {}),
        (2, {"max_grad_norm": 0.1}),
        (3, {"max_grad_norm": None}),
        (2, {"momentum": 0.5, "weight_decay": 0.1, "gradient_checkpointing": True}),
        (3, {"batch_size": 4, "gradient_accumulation": 2}),
        (3, {"batch_size": 2, "gradient_accumulation": 1}),  # a rank without a row
    ],
)
def test_ranks_end_where_one_process_ends(count: int, changes: Any, tmp_path: Path) -> None:
    chosen = settings(**changes)
    expected = one_process(llama(tied=True), chosen, tmp_path / "one")
    if chosen.max_grad_norm:
        assert max(step.gradient_norm for step in expected[1]) > chosen.max_grad_norm
    same(on_ranks(count, chosen, tmp_path / "ranks"), expected)


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_output_layer_called_unequally_often(
    tied: bool, checkpointing: bool, tmp_path: Path
) -> None:
    chosen = settings(steps=3, gradient_checkpointing=checkpointing, warmup_ratio=0)
    expected = one_process(llama(tied=tied), chosen, tmp_path / "one")
    made = partial(load_with_narrow_head, tied)
    wide = limits.LOGITS_BYTES
    try:
        same(on_ranks(2, chosen, tmp_path / "ranks", made), expected)
    finally:
        limits.LOGITS_BYTES = wide


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize("tied", [True, False])
def test_bfloat16_compute_is_that_of_one_process(tied: bool, tmp_path: Path) -> None:
    """Norms' weights are gathered in 16 bits too, so one step is compared: they are 1 before it."""
    chosen = settings(steps=1, warmup_ratio=0, compute="bfloat16", gradient_checkpointing=True)
    expected = one_process(llama(tied=tied), chosen, tmp_path / "one")
    found = on_ranks(2, chosen, tmp_path / "ranks", partial(load, tied))
    exact = one_process(llama(tied=tied), settings(steps=1, warmup_ratio=0), tmp_path / "exact")
    assert found[1][0].loss == pytest.approx(expected[1][0].loss, rel=1e-7)
    assert found[1][0].loss != pytest.approx(exact[1][0].loss, rel=1e-5)  # it was no float32
    same(found, expected, tolerance=1e-4)


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize("how", ["kill", "raise", "half"])
def test_a_rank_that_ends_ends_all_and_the_state_is_resumed(how: str, tmp_path: Path) -> None:
    chosen = settings(momentum=0.5)
    whole = on_ranks(2, chosen, tmp_path / "whole")
    scratch = tmp_path / "stopped"
    words = "this rank is broken" if how == "raise" else "SIGKILL"
    with pytest.raises(ProcessException, match=words):
        on_ranks(2, chosen, scratch, partial(load_and_stop, 4, how))
    done = len(load_trained(scratch / CHECKPOINT, llama(tied=True)))
    assert done == (2 if how == "half" else 4)
    resumed = on_ranks(2, chosen, scratch)
    assert resumed[1] == whole[1]
    assert tiny_llama.same_bits(tiny_llama.state(resumed[0]), tiny_llama.state(whole[0]))


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_processes_resumes_too(count: int, tmp_path: Path) -> None:
    chosen = settings(momentum=0.5)
    scratch = tmp_path / "stopped"
    with pytest.raises(ProcessException, match="SIGKILL"):
        on_ranks(2, chosen, scratch, partial(load_and_stop, 4, "kill"))
    done = load_trained(scratch / CHECKPOINT, llama(tied=True))
    again = one_process(llama(tied=True), chosen, scratch) if count == 1 else None
    resumed = again or on_ranks(count, chosen, scratch)
    assert resumed[1][:4] == done
    same(resumed, one_process(llama(tied=True), chosen, tmp_path / "one"))


@pytest.mark.usefixtures("_forked")
def test_divergence_is_one_sentence(tmp_path: Path) -> None:
    chosen = settings(learning_rate=1e30, max_grad_norm=None, warmup_ratio=0)
    with pytest.raises(HoldfastError, match=r"^first-order step [12]: .*learning_rate \(1e\+30\)"):
        on_ranks(2, chosen, tmp_path)


def test_more_processes_than_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(HoldfastError, match="was given 3 GPUs but sees 2: lower `gpus`"):
        train_on_ranks(load, settings(), seed=0, scratch=tmp_path, processes=3)


def test_a_job_on_two_processes_stores_what_a_job_on_one_does(tmp_path: Path) -> None:
    base = tmp_path / "base"
    save_checkpoint(tiny_llama.model(torch.bfloat16), tiny_llama.tokenizer(), base / "checkpoint")
    about = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(base / "model.json", about | {"dtype": "bfloat16"})
    pairs = [{"prompt": f"w{n} w7", "response": f"w3 w{n} w9"} for n in range(20)]
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    stored, steps = [], []
    for count in (1, 2):
        weights, scratch = tmp_path / f"weights{count}", tmp_path / f"scratch{count}"
        cost, history = make_first_order(
            settings(steps=3, warmup_ratio=0),
            parent=base,
            data=tmp_path / "pairs.jsonl",
            max_length=32,
            seed=0,
            weights=weights,
            scratch=scratch,
            processes=count,
        )
        assert cost.steps == 3
        forget(scratch)
        assert not any(scratch.iterdir())
        model = AutoModelForCausalLM.from_pretrained(weights / "checkpoint")
        assert model.dtype == torch.bfloat16
        stored.append((sorted(p.relative_to(weights) for p in weights.rglob("*")), model))
        steps.append(history)
    assert stored[0][0] == stored[1][0]
    assert (tmp_path / "weights1/arm.json").read_bytes() == (
        tmp_path / "weights2/arm.json"
    ).read_bytes()
    # A weight that lies between two bfloat16 numbers may be rounded either way.
    same((stored[0][1], steps[0]), (stored[1][1], steps[1]), tolerance=2**-7)
