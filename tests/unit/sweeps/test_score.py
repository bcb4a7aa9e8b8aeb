"""Scores of a sweep's points against plain computations on copies of the weights."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

import tiny_llama
from holdfast.arms.load import load_arm
from holdfast.arms.make import make_first_order, make_zeroth_order
from holdfast.engine.batches import make_batches
from holdfast.engine.generation import generate
from holdfast.engine.loss import response_loss
from holdfast.errors import Diverged, HoldfastError
from holdfast.files.atomic import read_json, write_json, write_jsonl
from holdfast.numerics.noise import normal
from holdfast.numerics.stream import key
from holdfast.perturbations.weight_noise import weight_noise
from holdfast.settings.evaluation import Generation
from holdfast.settings.perturbation import noise_seed
from holdfast.settings.perturbations import Perturbation, WeightNoise
from holdfast.settings.stages import FirstOrder, ZerothOrder
from holdfast.settings.sweeps import SweepSettings
from holdfast.sweeps import score
from holdfast.sweeps.diverged import marked
from holdfast.sweeps.score import Scoring, robustness_gap, score_points

RATES = (0.05, 0.2)
PROMPTS = [f"w{n} w{n + 1} w{2 * n}" for n in range(12)]


def test_the_gap_is_that_of_full_copies_with_added_noise() -> None:
    model, batches = tiny_llama.model(), make_batches(tiny_llama.examples(6), 3)
    before = tiny_llama.state(model)
    loss, gaps = robustness_gap(model, batches, 0.05, 3, seed=7)
    assert tiny_llama.same_bits(before, tiny_llama.state(model))
    for draw, gap in enumerate(gaps):
        noisy = copy.deepcopy(model)
        for name, parameter in noisy.named_parameters():
            direction = normal(parameter.shape, key(7, "robustness_gap", direction=draw), name)
            parameter.data += 0.05 * direction
        assert response_loss(noisy, batches) - response_loss(model, batches) == pytest.approx(
            gap, abs=1e-5
        )
    assert loss == response_loss(model, batches)
    assert len(set(gaps)) == 3


def test_all_points_meet_the_same_draws() -> None:
    model, batches = tiny_llama.model(), make_batches(tiny_llama.examples(6), 3)
    assert robustness_gap(model, batches, 0.1, 2, 0) == robustness_gap(model, batches, 0.1, 2, 0)
    assert robustness_gap(model, batches, 0.1, 2, 1) != robustness_gap(model, batches, 0.1, 2, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base model, two zeroth-order points, two first-order points and validation data."""
    base = tmp_path / "base"
    tiny_llama.model().save_pretrained(base / "checkpoint")
    tiny_llama.tokenizer().save_pretrained(base / "checkpoint")
    about = {"source": "checkpoint", "revision": None, "trust_remote_code": False}
    write_json(base / "model.json", about | {"dtype": "float32"})
    pairs = [{"prompt": prompt, "response": prompt[::-1]} for prompt in PROMPTS]
    write_jsonl(tmp_path / "train.jsonl", pairs)
    write_jsonl(tmp_path / "pairs.jsonl", [row | {"response": "w1 w2"} for row in pairs])
    rows = [{"id": f"b{n}", "behavior": p, "context": ""} for n, p in enumerate(PROMPTS)]
    write_jsonl(tmp_path / "behaviors.jsonl", rows)
    benign = [{"id": f"n{n}", "prompt": prompt} for n, prompt in enumerate(PROMPTS[:4])]
    write_jsonl(tmp_path / "benign.jsonl", benign)
    for rate in RATES:
        common: dict[str, Any] = {
            "parent": base, "data": tmp_path / "train.jsonl", "max_length": 64, "seed": 0
        }  # fmt: skip
        make_zeroth_order(
            ZerothOrder(steps=2, learning_rate=rate, directions=2),
            **common,
            selection=None,
            weights=tmp_path / f"zo{rate}",
            scratch=tmp_path / "scratch" / f"zo{rate}",
        )
        make_first_order(
            FirstOrder(steps=2, learning_rate=rate, batch_size=4, compute="float32"),
            **common,
            weights=tmp_path / f"fo{rate}",
            scratch=tmp_path / "scratch" / f"fo{rate}",
        )
    return tmp_path


@pytest.fixture(autouse=True)
def short_words_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that random text meets about half of the time."""
    monkeypatch.setattr(score, "refuses", half)


def half(text: str, _prefixes: str) -> bool:
    return sum(text.encode()) % 2 == 0


def run(folder: Path, stage: str, scratch: str = "points") -> list[Any]:
    noise: dict[str, Perturbation] = {
        "weight_noise": WeightNoise(kind="weight_noise", levels=[30], unit=0.01, draws=2)
    }
    out = [folder / f"{stage}{rate}.json" for rate in RATES]
    score_points(
        Scoring(
            SweepSettings(rho=0.05, draws=3, batch_size=4),
            Generation(max_new_tokens=8, batch_size=5),
            noise,
            64,
            **{name: folder / f"{name}.jsonl" for name in ("pairs", "behaviors", "benign")},
        ),
        model="m",
        arm=stage,
        seed=0,
        parent=[folder / "base"],
        points={f"{stage}.{n}": {"learning_rate": rate} for n, rate in enumerate(RATES, start=1)},
        weights=[folder / f"{stage}{rate}" for rate in RATES],
        out=out,
        scratch=folder / scratch,
    )
    return [read_json(path) for path in out]


def outcomes(model: Any, prompts: list[str]) -> list[bool]:
    refused: dict[int, bool] = {}
    generate(
        model,
        tiny_llama.tokenizer(),
        prompts,
        max_new_tokens=8,
        batch_size=5,
        on_done=lambda index, completion: refused.update({index: half(completion.text, "")}),
    )
    return [refused[index] for index in range(len(prompts))]


@pytest.mark.parametrize("stage", ["zo", "fo"])
def test_every_point_is_scored_as_if_it_were_loaded_alone(folder: Path, stage: str) -> None:
    base = dict(load_arm(folder / "base").model.named_parameters())
    for number, (rate, found) in enumerate(zip(RATES, run(folder, stage), strict=True), start=1):
        model = load_arm(folder / f"{stage}{rate}").model
        moved = [(p - base[name]).square().sum() for name, p in model.named_parameters()]
        assert found["move"] == pytest.approx(math.sqrt(float(sum(moved))), rel=1e-5)
        assert found["point"] == f"{stage}.{number}"
        assert found["values"] == {"learning_rate": rate}
        clean, noisy = found["cells"]
        expected = "".join("01"[not one] for one in outcomes(model, PROMPTS))
        assert clean["outcomes"] == [expected]
        assert "0" in expected
        assert "1" in expected
        for draw in range(2):
            with weight_noise(model, 0.3, noise_seed(0, 500 + draw)):
                refused = outcomes(model, PROMPTS)
            assert noisy["outcomes"][draw] == "".join("01"[not one] for one in refused)
        assert found["over_refusal"] == "".join("01"[o] for o in outcomes(model, PROMPTS[:4]))
        assert len(found["gaps"]) == 3


def test_a_killed_job_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(folder, "zo")
    calls = iter(range(7))

    def killed(text: str, prefixes: str) -> bool:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return half(text, prefixes)

    monkeypatch.setattr(score, "refuses", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder, "zo", "again")
    lines = (folder / "again" / "points.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 1 + 7  # header, gap, answers
    asked: list[str] = []

    def counted(text: str, prefixes: str) -> bool:
        asked.append(text)
        return half(text, prefixes)

    monkeypatch.setattr(score, "refuses", counted)
    assert run(folder, "zo", "again") == whole
    assert len(asked) == 2 * (12 + 2 * 12) - 7  # benign prompts are among the behaviors here
    assert not (folder / "again").exists()


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([math.nan] * 4, "the validation loss is nan"),
        (
            [2.0, math.inf, 2.0, 2.0],
            "the validation loss under noise (sweeps.rho: 0.05) is no finite number",
        ),
    ],
)
def test_a_point_without_a_finite_loss_is_recorded_as_diverged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, losses: list[float], said: str
) -> None:
    plain = run(folder, "zo")
    given, later = iter(losses), score.response_loss  # a point: unmoved, and three draws

    def loss(model: Any, batches: Any) -> float:
        return next(given, None) or later(model, batches)

    monkeypatch.setattr(score, "response_loss", loss)
    first, second = run(folder, "zo")
    assert first == {
        "model": "m",
        "arm": "zo",
        "point": "zo.1",
        "seed": 0,
        "values": {"learning_rate": RATES[0]},
        "diverged": said,
    }
    assert second == plain[1]


@pytest.mark.parametrize("stage", ["zo", "fo"])
def test_a_point_that_diverged_in_its_stage_is_recorded(folder: Path, stage: str) -> None:
    plain = run(folder, stage)
    weights, scratch = folder / f"{stage}{RATES[0]}", folder / "training"
    scratch.mkdir()
    with marked(weights, scratch, arm="x", point=True):
        raise Diverged("step 3: the loss is nan")
    assert not scratch.exists()
    first, second = run(folder, stage)
    assert first["diverged"] == "step 3: the loss is nan"
    assert set(first) == {"model", "arm", "point", "seed", "values", "diverged"}
    assert second == plain[1]


def test_only_divergence_is_marked(folder: Path) -> None:
    new = folder / "new"
    with (
        pytest.raises(HoldfastError, match="no such layer"),
        marked(new, folder, arm="x", point=True),
    ):
        raise HoldfastError("no such layer")
    assert not (folder / "new").exists()
    with marked(new, folder, arm="x", point=True):
        pass
    assert not (folder / "new").exists()


def test_weights_that_are_no_numbers_are_recorded(folder: Path) -> None:
    loaded = load_arm(folder / f"fo{RATES[1]}")
    next(loaded.model.parameters()).data[0, 0] = math.nan
    loaded.model.save_pretrained(folder / f"fo{RATES[1]}" / "checkpoint")
    first, second = run(folder, "fo")
    assert "diverged" not in first
    assert second["diverged"] == "its weights moved by nan"


def test_points_leave_the_parent_as_it_was(folder: Path) -> None:
    points = score.Points(folder / "base")
    with points.at(folder / f"zo{RATES[1]}") as (loaded, _):
        moved = tiny_llama.state(loaded.model)
    before = tiny_llama.state(load_arm(folder / "base").model)
    assert tiny_llama.same_bits(tiny_llama.state(loaded.model), before)
    assert not tiny_llama.same_bits(moved, before)
