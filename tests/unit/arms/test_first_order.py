from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tiny_llama
from holdfast.arms import first_order
from holdfast.arms.first_order import train
from holdfast.arms.make import make_first_order, make_zeroth_order
from holdfast.arms.schedule import rate_factor, sample_indices
from holdfast.arms.training_state import CHECKPOINT
from holdfast.engine.batches import collate
from holdfast.engine.loss import response_nll
from holdfast.errors import Diverged, HoldfastError
from holdfast.files.atomic import write_json, write_jsonl
from holdfast.settings.stages import FirstOrder, ZerothOrder
from holdfast.sweeps.diverged import marked
from places import HELPERS

EXAMPLES = tiny_llama.examples(30)


def settings(**changes: object) -> FirstOrder:
    plain = {"steps": 12, "learning_rate": 0.05, "compute": "float32", "save_every": 5}
    return FirstOrder(**plain | changes)


def reference(model: torch.nn.Module, chosen: FirstOrder, seed: int) -> list[float]:
    """Plain SGD on the whole batch at once, with transformers' own token-mean loss."""
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=1.0,
        momentum=chosen.momentum,
        weight_decay=chosen.weight_decay,
    )
    losses = []
    for step in range(chosen.steps):
        size = chosen.batch_size * chosen.gradient_accumulation
        rows = sample_indices(len(EXAMPLES), size, step, seed, "first_order")
        optimizer.param_groups[0]["lr"] = chosen.learning_rate * rate_factor(
            chosen.scheduler, step, chosen.steps, chosen.warmup_ratio
        )
        loss = model(**collate([EXAMPLES[row] for row in rows], 0)._asdict()).loss
        optimizer.zero_grad()
        loss.backward()
        if chosen.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.max_grad_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.5, "weight_decay": 0.1, "scheduler": "constant_with_warmup"},
        {"batch_size": 4, "gradient_accumulation": 2, "max_grad_norm": None, "warmup_ratio": 0},
        {"gradient_checkpointing": True},
    ],
)
def test_training_is_plain_sgd_on_the_token_mean(changes: dict, tmp_path: Path) -> None:
    ours, theirs = tiny_llama.model(), tiny_llama.model()
    start = tiny_llama.state(ours)
    history = train(ours, EXAMPLES, settings(**changes), seed=3, scratch=tmp_path)
    losses = reference(theirs, settings(**changes), seed=3)
    assert [entry.loss for entry in history] == pytest.approx(losses, rel=1e-4)
    for name, parameter in ours.named_parameters():
        expected = dict(theirs.named_parameters())[name]
        torch.testing.assert_close(parameter, expected, rtol=1e-3, atol=1e-4)
        assert not torch.equal(parameter, start[name])
    assert not ours.training


def test_bfloat16_weights_train_in_float32_and_are_rounded_once(tmp_path: Path) -> None:
    narrow = tiny_llama.model(torch.bfloat16)
    wide = tiny_llama.model(torch.bfloat16).float()
    train(narrow, EXAMPLES, settings(), seed=0, scratch=tmp_path / "a")
    train(wide, EXAMPLES, settings(), seed=0, scratch=tmp_path / "b")
    assert tiny_llama.same_bits(tiny_llama.state(narrow), tiny_llama.state(wide.bfloat16()))


def test_bfloat16_compute_lowers_the_loss_too(tmp_path: Path) -> None:
    model = tiny_llama.model(torch.bfloat16)
    chosen = settings(compute="bfloat16", steps=40, learning_rate=0.3)
    history = train(model, EXAMPLES, chosen, seed=0, scratch=tmp_path)
    assert history[-1].loss < 0.8 * history[0].loss


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import tiny_llama
import test_first_order as case
from holdfast.arms import first_order
save = first_order.save_state
def save_then_die(*arguments, **named):
    save(*arguments, **named)
    if len(arguments[4]) == 10:
        os.kill(os.getpid(), signal.SIGKILL)
first_order.save_state = save_then_die
settings = case.settings(momentum=0.5)
first_order.train(tiny_llama.model(), case.EXAMPLES, settings, seed=1, scratch=Path(sys.argv[1]))
"""


def test_killed_training_resumes_with_the_same_bits(tmp_path: Path) -> None:
    whole = tiny_llama.model()
    expected = train(whole, EXAMPLES, settings(momentum=0.5), seed=1, scratch=tmp_path / "whole")
    scratch = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(scratch), str(Path(__file__).parent), str(HELPERS)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(command, check=False, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = tiny_llama.model()
    assert train(resumed, EXAMPLES, settings(momentum=0.5), seed=1, scratch=scratch) == expected
    assert tiny_llama.same_bits(tiny_llama.state(resumed), tiny_llama.state(whole))


def test_checkpoint_of_another_run_is_not_taken_up(tmp_path: Path) -> None:
    train(tiny_llama.model(), EXAMPLES, settings(), seed=1, scratch=tmp_path)
    assert (tmp_path / CHECKPOINT).exists()
    other, fresh = tiny_llama.model(), tiny_llama.model()
    history = train(other, EXAMPLES, settings(), seed=2, scratch=tmp_path)
    assert history == train(fresh, EXAMPLES, settings(), seed=2, scratch=tmp_path / "empty")
    assert tiny_llama.same_bits(tiny_llama.state(other), tiny_llama.state(fresh))


def test_divergence_names_step_and_settings_with_their_path(tmp_path: Path) -> None:
    chosen = settings(learning_rate=1e30, max_grad_norm=None, warmup_ratio=0)
    said = (
        r"^arms\.fo: first-order step [12]: the loss is \S+ and the gradient norm (nan|inf): "
        r"lower learning_rate \(1e\+30\) or max_grad_norm \(None\), or check the training data$"
    )
    arm = marked(tmp_path / "weights", tmp_path, arm="fo", point=False)
    with pytest.raises(Diverged, match=said), arm:
        train(tiny_llama.model(), EXAMPLES, chosen, seed=0, scratch=tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_damaged_batch_stops_before_the_weights_move(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: object) -> tuple[torch.Tensor, int]:
        total, tokens = response_nll(*arguments)
        calls.append(tokens)
        return (total * value if len(calls) > 3 else total), tokens

    calls: list[int] = []
    model, whole = tiny_llama.model(), tiny_llama.model()
    plain = {"scheduler": "constant_with_warmup", "gradient_accumulation": 1}
    monkeypatch.setattr(first_order, "response_nll", wrong)
    with pytest.raises(Diverged, match="first-order step 3: the loss is"):
        train(model, EXAMPLES, settings(**plain, warmup_ratio=0), seed=0, scratch=tmp_path)
    monkeypatch.undo()
    chosen = settings(**plain, warmup_ratio=0, steps=3)
    train(whole, EXAMPLES, chosen, seed=0, scratch=tmp_path / "whole")
    assert tiny_llama.same_bits(tiny_llama.state(model), tiny_llama.state(whole))


def test_a_weight_without_a_number_is_not_stored_whatever_the_loss_says(tmp_path: Path) -> None:
    """The embedding of a token that no example has: the loss never meets it."""
    unused = 4
    base, model = tmp_path / "base", tiny_llama.model(tied=False)
    assert all(unused not in example.input_ids for example in EXAMPLES)
    with torch.no_grad():
        model.get_input_embeddings().weight[unused, 3] = 7e4  # finite, but not in 16 bits
    model.save_pretrained(base / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(base / "checkpoint")
    about = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(base / "model.json", about | {"dtype": "float16"})
    pairs = [{"prompt": "w1 w2", "response": f"w{n}"} for n in range(8)]
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    places = {"weights": tmp_path / "weights", "scratch": tmp_path / "scratch"}
    common = {"parent": base, "data": tmp_path / "pairs.jsonl", "max_length": 64, "seed": 0}
    chosen = settings(steps=2, batch_size=4)
    said = (
        r"first-order step 1, the last, leaves the weight model\.embed_tokens\.weight no finite "
        r"number in float16: lower one of learning_rate \(0\.05\), max_grad_norm"
    )
    with pytest.raises(Diverged, match=said):
        make_first_order(chosen, **common, **places)
    refine = ZerothOrder(steps=1, directions=1)
    with pytest.raises(Diverged, match="zeroth-order step 0, the last, leaves the weight"):
        make_zeroth_order(refine, **common, **places, selection=None)
    assert not (tmp_path / "weights").exists()


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    train(tiny_llama.model(), EXAMPLES, settings(), seed=1, scratch=tmp_path)
    state = tmp_path / CHECKPOINT
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(HoldfastError, match=rf"{state}, a training's last state, is cut off or d"):
        train(tiny_llama.model(), EXAMPLES, settings(), seed=1, scratch=tmp_path)
