from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import tiny_llama
from holdfast.arms import master as master_module
from holdfast.arms.master import Combination, Master
from holdfast.arms.replay import replay
from holdfast.arms.schedule import rate_factor, sample_indices
from holdfast.arms.zeroth_order import PURPOSE, refine
from holdfast.engine import limits
from holdfast.engine.batches import collate, make_batches
from holdfast.engine.loss import response_loss
from holdfast.engine.parameters import layer_parameters
from holdfast.engine.suffix import Suffix
from holdfast.errors import Diverged, HoldfastError
from holdfast.numerics.noise import normal
from holdfast.numerics.stream import Key, key
from holdfast.settings.stages import ZerothOrder

EXAMPLES = tiny_llama.examples(20)
TYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def settings(**changes: object) -> ZerothOrder:
    plain = {"steps": 4, "directions": 3, "learning_rate": 0.05, "beta": 0.01}
    return ZerothOrder(**plain | {"max_predicted_move": 1.0} | changes)


def run(model: torch.nn.Module, path: Path, layers: list[int] | None = None, **changes) -> dict:
    return refine(
        model, EXAMPLES, settings(**changes), layers=layers, seed=7, journal=path / "journal"
    )


def gradient(model: torch.nn.Module, rows: list[int], layers: list[int]) -> torch.Tensor:
    """Autograd's gradient of the token mean with respect to the layers, flat."""
    loss = model(**collate([EXAMPLES[row] for row in rows], 0)._asdict()).loss
    chosen = layer_parameters(model, layers)
    found = torch.autograd.grad(loss, list(chosen.values()))
    return torch.cat([part.flatten() for part in found])


# With small beta the mean over q Gaussian directions has covariance (|g|^2 I + g g^T) / q around
# the gradient g: its projection on g / |g| has a standard deviation of sqrt(2 / q) |g|, the rest a
# length near sqrt((d - 1) / q) |g|. Unit vectors times d do nearly the same. Four standard
# deviations pass a right estimator but for one seed in 10,000, and never a wrong sign or a factor
# d = 2,336.
@pytest.mark.parametrize(
    ("direction", "scaled", "overshoot"),
    [("gaussian", False, False), ("sphere", True, False), ("gaussian", True, True)],
)
def test_mean_estimate_is_the_gradient(
    direction: str, scaled: bool, overshoot: bool, tmp_path: Path
) -> None:
    model, layers, directions = tiny_llama.model(), [1], 400
    start = {name: p.detach().clone() for name, p in layer_parameters(model, layers).items()}
    rows = sample_indices(len(EXAMPLES), 8, 0, 7, PURPOSE)
    exact = gradient(model, rows, layers)
    rate = 1e-4
    log = run(
        model,
        tmp_path,
        layers,
        steps=1,
        directions=directions,
        direction=direction,
        scale_by_dimension=scaled,
        beta=1e-3 * (math.sqrt(exact.numel()) if direction == "sphere" else 1),
        learning_rate=rate,
        max_grad_norm=None,
        weight_decay=0,
        scheduler="constant_with_warmup",
    )
    assert log["dimension"] == exact.numel()
    moved = layer_parameters(model, layers)
    estimate = torch.cat([((start[n] - moved[n]) / rate).detach().flatten() for n in start])
    if overshoot:
        estimate = estimate / exact.numel()
    size = float(exact.norm())
    along = float(estimate @ exact) / size**2
    assert along == pytest.approx(1, abs=4 * math.sqrt(2 / directions))
    across = float((estimate - along * exact).norm()) / size
    dimension = exact.numel()
    expected = math.sqrt((dimension - 1) / directions)
    assert across == pytest.approx(expected, rel=4 * math.sqrt(1 / directions))


@TYPES
def test_only_the_selected_layers_move(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_llama.model(dtype)
    before = tiny_llama.state(model)
    run(model, tmp_path, [0, 2], learning_rate=0.5)
    after = tiny_llama.state(model)
    for name in before:
        moved = not torch.equal(before[name], after[name])
        assert moved == (".layers.0." in name or ".layers.2." in name), name


@TYPES
def test_all_layers_means_every_parameter(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_llama.model(dtype)
    before = tiny_llama.state(model)
    log = run(model, tmp_path, learning_rate=0.5)
    assert log["dimension"] == sum(value.numel() for value in before.values())
    assert not any(torch.equal(before[n], after) for n, after in tiny_llama.state(model).items())


@TYPES
def test_restore_is_exact_after_a_hundred_pairs(dtype: torch.dtype) -> None:
    model = tiny_llama.model(dtype)
    before = tiny_llama.state(model)
    master = Master(layer_parameters(model, [0, 1]))
    for pair in range(100):
        direction = key(1, PURPOSE, direction=pair)
        master.write(0.1, direction)
        master.mirror(0.1, direction)
        assert not tiny_llama.same_bits(tiny_llama.state(model), before)
        master.restore()
        assert tiny_llama.same_bits(tiny_llama.state(model), before)


@TYPES
@pytest.mark.parametrize("kept", [True, False])
def test_the_mirrored_point_lies_opposite(
    dtype: torch.dtype, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(limits, "KEPT_ELEMENTS", 0)
    model = tiny_llama.model(dtype)
    before = tiny_llama.state(model)
    chosen = layer_parameters(model, [1])
    master, direction = Master(chosen), key(1, PURPOSE)
    master.keep([direction])
    assert (direction in master._kept) == kept
    master.write(0.3, direction)
    master.mirror(0.3, direction)
    square = 0.0
    for name, parameter in chosen.items():
        noise = normal(parameter.shape, direction, name)
        square += float(noise.double().square().sum())
        expected = (before[name].float() - 0.3 * noise).to(dtype)
        rounding = 2**-7 if dtype == torch.bfloat16 else 2**-22
        torch.testing.assert_close(parameter, expected, rtol=rounding, atol=1e-6)
    assert master.norm(Combination([-2.0], [direction])) == pytest.approx(2 * math.sqrt(square))


def test_the_norm_of_a_sum_is_that_of_dense_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master_module, "BLOCK_CPU", 1 << 13)
    model = tiny_llama.model()
    keys = [key(1, PURPOSE, direction=j) for j in range(3)]
    parts = [
        sum(c * normal(p.shape, k, name) for c, k in zip((1.0, -2.0, 0.5), keys, strict=True))
        for name, p in model.named_parameters()
    ]
    expected = torch.cat([part.flatten() for part in parts]).norm()
    found = Master(dict(model.named_parameters())).norm(Combination([1.0, -2.0, 0.5], keys))
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_a_written_weight_is_the_float32_sum_rounded_once() -> None:
    model = tiny_llama.model(torch.bfloat16)
    before = tiny_llama.state(model)
    chosen = layer_parameters(model, [1])
    Master(chosen).write(0.3, key(1, PURPOSE))
    for name, parameter in chosen.items():
        noise = normal(parameter.shape, key(1, PURPOSE), name)
        expected = (before[name].float() + 0.3 * noise).bfloat16()
        # One rounding of 0.3 * noise apart in float32, which may tip over a tie in bfloat16.
        assert (parameter == expected).float().mean() > 0.999
        torch.testing.assert_close(parameter, expected, rtol=2**-7, atol=1e-6)


def test_a_point_is_written_with_no_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    master, direction = Master(layer_parameters(tiny_llama.model(), [1])), key(1, PURPOSE)

    def item(_tensor: torch.Tensor) -> None:
        raise AssertionError("a GPU would be waited for")

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "item", item)
        master.write(0.3, direction)
        with pytest.raises(AssertionError, match="waited for"):
            master.norm(Combination([1.0], [direction]))
    assert master.norm(Combination([1.0], [direction])) > 0


@TYPES
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"direction": "sphere", "scale_by_dimension": True, "beta": 0.5},
    ],
)
def test_replay_makes_the_same_bits(dtype: torch.dtype, changes: dict, tmp_path: Path) -> None:
    refined, replayed = tiny_llama.model(dtype), tiny_llama.model(dtype)
    log = run(refined, tmp_path, [0, 1], **changes)
    replay(replayed, json.loads(json.dumps(log)))
    assert tiny_llama.same_bits(tiny_llama.state(refined), tiny_llama.state(replayed))
    parent = tiny_llama.state(tiny_llama.model(dtype))
    assert not tiny_llama.same_bits(tiny_llama.state(replayed), parent)


def test_noise_that_is_not_kept_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, drawn = tiny_llama.model(), tiny_llama.model()
    keep, held = Master.keep, []

    def noted(master: Master, directions: list[Key]) -> None:
        keep(master, directions)
        held.append(len(master._kept))

    monkeypatch.setattr(Master, "keep", noted)
    log = run(kept, tmp_path / "kept", direction="sphere")
    assert set(held) == {3}
    held.clear()
    monkeypatch.setattr(limits, "KEPT_ELEMENTS", 0)
    assert run(drawn, tmp_path / "drawn", direction="sphere") == log
    assert set(held) == {0}
    assert tiny_llama.same_bits(tiny_llama.state(kept), tiny_llama.state(drawn))


def test_replay_refuses_another_noise_stream(tmp_path: Path) -> None:
    log = run(tiny_llama.model(), tmp_path)
    with pytest.raises(HoldfastError, match=r"noise stream 1, .* run the refinement again"):
        replay(tiny_llama.model(), log | {"noise_stream": 1})


def test_replay_refuses_another_parent(tmp_path: Path) -> None:
    log = run(tiny_llama.model(), tmp_path)
    with pytest.raises(HoldfastError, match="another parent"):
        replay(tiny_llama.model(seed=1), log)


@TYPES
def test_interrupted_refinement_ends_with_the_same_log(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_llama.model(dtype)
    expected = run(whole, tmp_path / "whole", [0], momentum=0.5)
    calls = 0

    def dying_total(suffix: Suffix) -> float:
        nonlocal calls
        calls += 1
        if calls > 15:  # in the third step: 2 losses a direction, 3 directions a step
            raise KeyboardInterrupt
        return total(suffix)

    total = Suffix.total
    monkeypatch.setattr(Suffix, "total", dying_total)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_llama.model(dtype), tmp_path / "cut", [0], momentum=0.5)
    calls = -1000
    resumed = tiny_llama.model(dtype)
    assert run(resumed, tmp_path / "cut", [0], momentum=0.5) == expected
    assert calls == -1000 + 12
    assert tiny_llama.same_bits(tiny_llama.state(resumed), tiny_llama.state(whole))


@pytest.mark.parametrize("max_grad_norm", [None, 0.5])
@pytest.mark.parametrize("direction", ["gaussian", "sphere"])
def test_update_is_a_plain_dense_implementation(
    direction: str, max_grad_norm: float | None, tmp_path: Path
) -> None:
    chosen = settings(
        direction=direction,
        max_grad_norm=max_grad_norm,
        momentum=0.6,
        weight_decay=0.2,
        beta=0.05 if direction == "gaussian" else 2.0,
    )
    ours, theirs = tiny_llama.model(), tiny_llama.model()
    layers = [0, 2]
    log = refine(ours, EXAMPLES, chosen, layers=layers, seed=7, journal=tmp_path / "journal")
    parameters = layer_parameters(theirs, layers)
    optimizer = torch.optim.SGD(parameters.values(), lr=1.0, momentum=0.6, weight_decay=0.2)
    with torch.no_grad():
        for step in range(chosen.steps):
            rows = sample_indices(len(EXAMPLES), 8, step, 7, PURPOSE)
            batches = make_batches([EXAMPLES[row] for row in rows], 8)
            theta = {name: parameter.clone() for name, parameter in parameters.items()}
            total = {name: torch.zeros_like(parameter) for name, parameter in theta.items()}
            for j in range(chosen.directions):
                stream = key(7, PURPOSE, step=step, direction=j)
                v = {name: normal(theta[name].shape, stream, name) for name in theta}
                if direction == "sphere":
                    length = torch.cat([part.flatten() for part in v.values()]).norm()
                    v = {name: part / length for name, part in v.items()}
                losses = []
                for sign in (1, -1):
                    for name, parameter in parameters.items():
                        parameter.copy_(theta[name] + sign * chosen.beta * v[name])
                    losses.append(response_loss(theirs, batches))
                slope = (losses[0] - losses[1]) / (2 * chosen.beta)
                for name in total:
                    total[name] += slope * v[name] / chosen.directions
            for name, parameter in parameters.items():
                parameter.copy_(theta[name])
                parameter.grad = total[name]
            if max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters.values(), max_grad_norm)
            optimizer.param_groups[0]["lr"] = 0.05 * rate_factor("cosine", step, 4, 0)
            optimizer.step()
            moved = torch.cat([(parameters[n] - theta[n]).flatten() for n in theta])
            entry = log["steps"][step]
            assert entry["move_norm"] == pytest.approx(float(moved.norm()), rel=1e-3)
            assert entry["move_rms"] == pytest.approx(float(moved.square().mean().sqrt()), rel=1e-3)
            assert entry["changed_share"] == pytest.approx(
                float((moved != 0).double().mean()), abs=2e-3
            )
    for name, parameter in layer_parameters(ours, layers).items():
        torch.testing.assert_close(parameter, parameters[name], rtol=1e-3, atol=2e-5)


def test_losses_are_those_of_the_two_perturbed_models(tmp_path: Path) -> None:
    log = run(tiny_llama.model(), tmp_path, [1], steps=1, directions=1)
    step = log["steps"][0]
    rows = sample_indices(len(EXAMPLES), 8, 0, 7, PURPOSE)
    batches = make_batches([EXAMPLES[row] for row in rows], 8)
    model = tiny_llama.model()
    for scale, field in ((0.01, "loss_plus"), (-0.01, "loss_minus")):
        Master(layer_parameters(model := tiny_llama.model(), [1])).write(
            scale, key(7, PURPOSE, step=0, direction=0)
        )
        assert step[field] == pytest.approx(response_loss(model, batches), rel=1e-6)
    slope = (step["loss_plus"] - step["loss_minus"]) / 0.02
    assert step["projected_gradients"] == [pytest.approx(slope)]


def test_moves_too_small_to_store_are_warned_of_and_add_up(tmp_path: Path) -> None:
    model = tiny_llama.model(torch.bfloat16)
    silent = run(model, tmp_path / "a", [0], learning_rate=1e-7, weight_decay=0)
    assert [step["changed_share"] for step in silent["steps"]] == [0] * 4
    assert "no stored weight changed" in silent["warnings"][0]
    # Each step moves a weight by a hundredth of its rounding unit: only their sum shows.
    small = run(tiny_llama.model(torch.bfloat16), tmp_path / "b", [0], learning_rate=1e-3, steps=40)
    assert not any("no stored weight" in warning for warning in small["warnings"])
    assert sum(step["changed_share"] for step in small["steps"]) > 0


def test_literal_algorithm_is_warned_of_or_stopped(tmp_path: Path) -> None:
    literal = {"scale_by_dimension": True, "max_grad_norm": None, "max_predicted_move": 1e-3}
    log = run(tiny_llama.model(), tmp_path / "a", steps=1, learning_rate=4e-3, **literal)
    assert "more than max_predicted_move" in log["warnings"][0]
    with pytest.raises(Diverged, match=r"zeroth-order step [1-3].* learning_rate \(1e\+30\)"):
        run(tiny_llama.model(), tmp_path / "b", learning_rate=1e30, **literal)


def test_a_failed_loss_leaves_the_model_restored(tmp_path: Path) -> None:
    model = tiny_llama.model()
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    before = tiny_llama.state(model)
    with pytest.raises(Diverged, match="step 0: the sum of the losses is nan"):
        run(model, tmp_path, [1])
    assert tiny_llama.same_bits(tiny_llama.state(model), before)


def test_a_layer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="layer 3 does not exist: the model has layers 0 to 2"):
        run(tiny_llama.model(), tmp_path, [0, 3])
