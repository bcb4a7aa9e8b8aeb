"""Controls and LoX as arms: made from other arms' folders, and composed by the loader."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import tiny_llama
from holdfast.arms.compute import first_order_passes, zeroth_order_passes
from holdfast.arms.load import load_arm
from holdfast.arms.lox import FACTORS, cost_of_factors, make_factors
from holdfast.arms.make import make_zeroth_order
from holdfast.arms.moves import make_move
from holdfast.arms.random_move import MOVE
from holdfast.checkpoints.load import base_of
from holdfast.errors import HoldfastError
from holdfast.files.atomic import (
    read_json,
    sha256,
    write_json,
    write_jsonl,
)
from holdfast.settings.stages import (
    FirstOrder,
    Lox,
    Move,
    RandomMove,
    Recast,
    SignFlip,
    SmoothedFirstOrder,
    ZerothOrder,
)

STEPS = ZerothOrder(
    steps=3, learning_rate=0.05, beta=0.01, directions=2, weight_decay=0.0, batch_size=4
)
ABOUT = {"source": "checkpoint", "revision": None, "trust_remote_code": False, "dtype": "float32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original, another base, and a zeroth-order arm that moves layer 1 of the original."""
    folder = tmp_path_factory.mktemp("run")
    for name, seed in (("original", 0), ("base", 5)):
        tiny_llama.model(seed=seed).save_pretrained(folder / name / "checkpoint")
        tiny_llama.tokenizer().save_pretrained(folder / name / "checkpoint")
        write_json(folder / name / "model.json", ABOUT)
    pairs = [{"prompt": f"w{n} w2 w3", "response": "w4 w5"} for n in range(8)]
    write_jsonl(folder / "pairs.jsonl", pairs)
    names = {"model": "m", "arm": "fo", "selection": "random", "seed": 0}
    chosen = {"layers": 3, "top": [1], "scores": {"random": [0.1, 0.9, 0.5]}}
    errors = {"standard_errors": {}, "rank_stability": None}
    write_json(folder / "selection.json", names | chosen | errors)
    make_zeroth_order(
        STEPS,
        parent=folder / "original",
        data=folder / "pairs.jsonl",
        max_length=64,
        seed=0,
        selection=folder / "selection.json",
        weights=folder / "zo",
        scratch=folder / "scratch",
    )
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return tiny_llama.state(load_arm(folder).model)


def made(run: Path, name: str, settings: Move, other: str | None, seed: int = 0):
    folder = run / name
    make_move(
        settings,
        parent=run / "original",
        other=run / other if other else None,
        seed=seed,
        weights=folder,
    )
    return folder


def factored(run: Path, rank: int) -> None:
    folder = run / "factors"
    usage = make_factors(folder, aligned=run / "original", base=run / "base", rank=rank)
    write_json(cost_of_factors(folder), usage.model_dump())


def test_recast_is_what_storing_in_that_type_does(run: Path, tmp_path: Path) -> None:
    found = weights(made(run, "recast", Recast(), None))
    load_arm(run / "original").model.bfloat16().save_pretrained(tmp_path)
    stored = type(tiny_llama.model()).from_pretrained(tmp_path).float()
    assert tiny_llama.same_bits(found, tiny_llama.state(stored))
    assert not tiny_llama.same_bits(found, weights(run / "original"))


@pytest.mark.parametrize(
    ("settings", "other"), [(Recast(), None), (Lox(rank=0, coefficient=1.25), "base")]
)
def test_an_arm_that_is_linked_to_another_disk_is_the_same(
    run: Path, tmp_path: Path, settings: Move, other: str | None
) -> None:
    folder = made(run, f"{type(settings).__name__}/seed0/weights", settings, other)
    before, arm = weights(folder), folder.parents[1]
    shutil.move(arm, tmp_path / "disk")
    arm.symlink_to(tmp_path / "disk")
    assert tiny_llama.same_bits(weights(folder), before)
    assert base_of(folder) == base_of(run / "original")


def test_a_random_move_has_the_length_and_the_tensors_of_the_other(run: Path) -> None:
    start, zo = weights(run / "original"), weights(run / "zo")
    folders = [
        made(run, f"random{draw}{seed}", RandomMove(draw=draw), "zo", seed)
        for draw, seed in ((0, 0), (1, 0), (0, 1))
    ]
    moves = [
        {name: tensor - start[name] for name, tensor in weights(folder).items()}
        for folder in [run / "zo", *folders]
    ]
    flat = [torch.cat([move.flatten() for move in one.values()]).double() for one in moves]
    for one, vector in zip(moves[1:], flat[1:], strict=True):
        assert float(vector.norm()) == pytest.approx(float(flat[0].norm()), rel=1e-3)
        assert {n for n, move in one.items() if move.any()} == {
            n for n, move in moves[0].items() if move.any()
        }
    angles = torch.corrcoef(torch.stack(flat)).fill_diagonal_(0)
    assert float(angles.abs().max()) < 0.1  # 2,300 moved weights: a tenth is 4.8 deviations
    assert zo.keys() == start.keys()
    again = made(run, "again", RandomMove(draw=1), "zo")
    assert sha256(again / MOVE) == sha256(folders[1] / MOVE)


def test_a_control_of_an_arm_that_did_not_move_is_refused(run: Path) -> None:
    with pytest.raises(HoldfastError, match="no move to imitate"):
        made(run, "nothing", RandomMove(), "original")
    assert not (run / "nothing").exists()


def test_a_sign_flip_goes_the_other_way(run: Path) -> None:
    start, zo = weights(run / "original"), weights(run / "zo")
    flipped = weights(made(run, "flip", SignFlip(), "zo"))
    for name, tensor in flipped.items():
        torch.testing.assert_close(tensor - start[name], start[name] - zo[name], rtol=0, atol=1e-6)
    assert not tiny_llama.same_bits(flipped, start)


def test_lox_arms_share_factors_and_compose_on_their_parent(run: Path) -> None:
    factored(run, 40)
    low = made(run, "lox2", Lox(rank=2), "factors")
    all_directions = weights(made(run, "lox40", Lox(rank=40), "factors"))
    whole = weights(made(run, "lox0", Lox(rank=0), "base"))
    aligned, base = weights(run / "original"), weights(run / "base")
    assert (low / FACTORS).stat().st_size < (run / "factors" / FACTORS).stat().st_size / 3
    assert read_json(run / "lox0" / "arm.json")["other"] == "../base"
    for name, tensor in aligned.items():
        change = tensor - base[name] if tensor.dim() > 1 else torch.zeros_like(tensor)
        torch.testing.assert_close(whole[name], tensor + 1.25 * change, rtol=0, atol=1e-6)
        torch.testing.assert_close(all_directions[name], whole[name], rtol=0, atol=2e-5)
    assert not tiny_llama.same_bits(weights(low), whole)


def test_a_refinement_can_start_from_a_move(run: Path) -> None:
    factored(run, 2)
    parent = made(run, "lox", Lox(rank=2), "factors")
    make_zeroth_order(
        STEPS,
        parent=parent,
        data=run / "pairs.jsonl",
        max_length=64,
        seed=0,
        selection=None,
        weights=run / "lox_zo",
        scratch=run / "scratch",
    )
    before, after = weights(parent), weights(run / "lox_zo")
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_an_arm_counts_the_decomposition_as_its_cost(run: Path) -> None:
    factored(run, 2)
    path = cost_of_factors(run / "factors")
    write_json(path, read_json(path) | {"wall_s": 1000.0, "peak_memory_bytes": 1 << 50})
    cost = make_move(
        Lox(rank=2),
        parent=run / "original",
        other=run / "factors",
        seed=0,
        weights=run / "costly",
    )
    assert 1000 < cost.wall_s < 1100
    assert cost.peak_memory_bytes == 1 << 50


def test_compute_is_counted_in_forward_passes_of_a_sample() -> None:
    fo = FirstOrder(steps=100, batch_size=1, gradient_accumulation=8)
    assert first_order_passes(fo) == 2400
    checkpointed = fo.model_copy(update={"gradient_checkpointing": True})
    assert first_order_passes(checkpointed) == 3200
    smoothed = SmoothedFirstOrder(steps=10, batch_size=8, gradient_accumulation=1, rho=1, copies=4)
    assert first_order_passes(smoothed) == 960
    zo = ZerothOrder(steps=10, directions=1, batch_size=8)
    assert zeroth_order_passes(zo, None, 32) == 160 + 8
    assert zeroth_order_passes(zo, [24, 30], 32) == 80 * (0.75 + 2 * 0.25) + 8 * 0.25
