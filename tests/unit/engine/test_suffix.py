from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
)

import tiny_llama
from holdfast.arms.zeroth_order import refine
from holdfast.engine import limits
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import make_batches
from holdfast.engine.loss import response_loss, response_nll
from holdfast.engine.suffix import GIB, Suffix, groups
from holdfast.errors import HoldfastError
from holdfast.layers.robustness import score_layers
from holdfast.settings.selections import Robustness
from holdfast.settings.stages import ZerothOrder

EXAMPLES = tiny_llama.examples(11)
BATCHES = make_batches(EXAMPLES, 4)
SIZE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.3,
}
WINDOW = {"sliding_window": 4, "head_dim": 8}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZE),
    "qwen2": Qwen2Config(**SIZE, **WINDOW, use_sliding_window=True, max_window_layers=2),
    "mistral": MistralConfig(**SIZE, **WINDOW),
    "gemma": GemmaConfig(**SIZE, head_dim=8),
    "gemma2": Gemma2Config(**SIZE, **WINDOW, final_logit_softcapping=5.0),
    "gemma3": Gemma3TextConfig(**SIZE, **WINDOW, sliding_window_pattern=2),
}
ARCHITECTURES = pytest.mark.parametrize("name", CONFIGS)


def built(name: str) -> Any:
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(CONFIGS[name]).eval()


def forwards(layers: nn.ModuleList) -> list[int]:
    """Count the forward passes of each layer that are really computed, from now on."""
    counts = [0] * len(layers)

    def counted(index: int) -> Any:
        def hook(_module: nn.Module, _inputs: object) -> None:
            counts[index] += 1

        return hook

    for index, layer in enumerate(layers):
        layer.self_attn.register_forward_pre_hook(counted(index))
    return counts


@ARCHITECTURES
def test_a_suffix_gives_the_loss_of_full_forward_passes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = built(name)
    suffix = Suffix(model, BATCHES, 1)
    for layer in (1, 3):
        suffix.advance(layer)
        assert suffix.layer == layer
        with torch.no_grad():
            for parameter in decoder_layers(model)[layer:].parameters():
                parameter.mul_(1.1)
        assert suffix.total() / suffix.tokens == pytest.approx(
            response_loss(model, BATCHES), rel=1e-6
        )
        with torch.no_grad():
            for parameter in decoder_layers(model)[layer:].parameters():
                parameter.div_(1.1)
    assert "full forward" not in capsys.readouterr().err


def test_only_the_suffix_is_computed() -> None:
    model = built("llama")
    Suffix(model, BATCHES, 1)  # the architecture is probed once
    counts = forwards(decoder_layers(model))
    suffix = Suffix(model, BATCHES, 2)
    assert counts == [3, 3, 0, 0]
    suffix.total()
    suffix.total()
    assert counts == [3, 3, 6, 6]
    suffix.advance(3)
    assert counts == [3, 3, 9, 6]
    suffix.total()
    assert counts == [3, 3, 9, 9]


def test_sensitivity_walks_the_layers_once() -> None:
    model = built("llama")
    settings = Robustness(samples=11, batch_size=11, draws=2, rho=0.1, quant_group_size=8)
    Suffix(model, BATCHES, 1)
    counts = forwards(decoder_layers(model))
    score_layers(model, EXAMPLES, settings, layers=range(4), seed=0)
    # The clean loss, three probes, one pass for the probes of each layer below, one step upwards.
    assert counts == [1 + 3 + 1, 1 + 3 + 1 + 1, 1 + 3 + 2 + 1, 1 + 3 + 3]


@pytest.mark.parametrize(("tokens", "passes"), [(1, 9), (100, 8), (1 << 14, 3)])
def test_probes_run_together_give_the_loss_of_each(
    tokens: int, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STACKED_TOKENS", tokens)
    model = built("gemma2")
    weight = decoder_layers(model)[1].mlp.up_proj.weight

    def probes() -> Iterator[float]:
        for factor in (1.0, 1.5, -2.0):
            with torch.no_grad():
                weight.mul_(factor)
                yield factor
                weight.div_(factor)

    expected = {factor: response_loss(model, BATCHES) for factor in probes()}
    suffix = Suffix(model, BATCHES, 1)
    counts = forwards(decoder_layers(model))
    found = suffix.totals(probes())
    assert counts == [0, 9, passes, passes]  # three batches, three probes
    assert list(found) == list(expected)
    for factor, total in found.items():
        assert total / suffix.tokens == pytest.approx(expected[factor], rel=1e-6)


def test_a_refinement_step_runs_the_layers_below_once(tmp_path: Any) -> None:
    model = built("llama")
    Suffix(model, BATCHES, 1)
    counts = forwards(decoder_layers(model))
    settings = ZerothOrder(steps=1, directions=3, max_predicted_move=1.0)
    refine(model, EXAMPLES, settings, layers=[3, 2], seed=0, journal=tmp_path / "journal")
    assert counts == [1, 1, 7, 7]  # both signs of three directions, and once unmoved: tr H


@pytest.mark.parametrize("bad", ["state", "structure"])
def test_an_unknown_architecture_runs_in_full_and_says_so(
    bad: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built("llama")
    if bad == "state":  # a layer that looks at what an earlier one has seen
        first, last = decoder_layers(model)[0], decoder_layers(model)[3]
        seen: list[torch.Tensor] = []
        first.self_attn.register_forward_hook(lambda _m, _i, out: seen.append(out[0]))
        last.register_forward_hook(lambda _m, _i, out: out + seen.pop() if seen else out)
    else:
        monkeypatch.setattr(model, "get_decoder", lambda: nn.Linear(1, 1))
        with pytest.raises(HoldfastError, match="keeps no list of decoder layers"):
            decoder_layers(model)
    suffix = Suffix(model, BATCHES, 2)
    expected = response_loss(model, BATCHES)
    assert suffix.total() / suffix.tokens == pytest.approx(expected, rel=1e-6)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("LlamaForCausalLM: every loss is a full forward pass")
    Suffix(model, BATCHES, 2)
    assert capsys.readouterr().err == ""


def test_kept_states_are_split_to_the_memory_limit(tmp_path: Any) -> None:
    model = built("llama")
    batches = make_batches(EXAMPLES, 3)
    sizes = [batch.input_ids.numel() * 16 * 4 for batch in batches]
    limit = (sizes[0] + sizes[1]) / GIB
    split = list(groups(model, batches, limit))
    assert len(split[0]) == 2
    assert [batch for group in split for batch in group] == batches
    assert [len(group) for group in groups(model, batches, 1e-9)] == [1] * len(batches)
    settings = Robustness(samples=11, batch_size=3, draws=2, rho=0.1, quant_group_size=8)
    whole = score_layers(model, EXAMPLES, settings, layers=[1, 2], seed=0)
    small = settings.model_copy(update={"cache_gib": limit})
    parts = score_layers(model, EXAMPLES, small, layers=[1, 2], seed=0)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-9)
    assert parts.layers["2"].noise == pytest.approx(whole.layers["2"].noise, rel=1e-6)
    step = ZerothOrder(steps=2, forward_batch_size=3, directions=2, max_predicted_move=1.0)
    logs = [
        refine(
            built("llama"),
            EXAMPLES,
            step.model_copy(update={"cache_gib": gib}),
            layers=[2],
            seed=0,
            journal=tmp_path / str(gib),
        )["steps"]
        for gib in (4.0, 1e-9)
    ]
    for one, other in zip(*logs, strict=True):
        assert one["projected_gradients"] == pytest.approx(other["projected_gradients"], rel=1e-4)


@ARCHITECTURES
def test_logits_in_chunks_change_no_loss_and_no_gradient(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(name)
    results = []
    largest = 0

    def watch(_module: nn.Module, _inputs: object, logits: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, logits[..., 0].numel())

    model.get_output_embeddings().register_forward_hook(watch)
    for positions in (1000, 7):
        monkeypatch.setattr(limits, "LOGITS_BYTES", positions * 40 * 4)
        largest = 0
        model.zero_grad()
        total, count = response_nll(model, BATCHES[0])
        assert largest == min(positions, count)
        total.backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        results.append((total.item(), gradients, response_loss(model, BATCHES)))
    (one, gradients, mean), (other, others, chunked_mean) = results
    assert one == pytest.approx(other, rel=1e-6)
    assert mean == pytest.approx(chunked_mean, rel=1e-6)
    for gradient, chunked in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, chunked, rtol=1e-3, atol=1e-5)


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Any) -> None:
    rows: list[int] = []

    def cramped() -> Any:
        model = built("llama")
        Suffix(model, BATCHES, 1)  # the architecture is probed once

        def refuse(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            rows.append(len(inputs[0]))
            if len(inputs[0]) > 2:
                raise torch.OutOfMemoryError

        for layer in decoder_layers(model):
            layer.mlp.register_forward_pre_hook(refuse)
        return model

    def outcomes(model: Any, journal: Any) -> list[float]:
        suffix = Suffix(model, BATCHES, 1)
        found = [suffix.total()]
        suffix.advance(3)
        found.append(suffix.total())
        settings = Robustness(samples=11, batch_size=11, draws=1, rho=0.1, quant_group_size=8)
        scores = score_layers(model, EXAMPLES, settings, layers=[1, 2], seed=0).layers
        step = ZerothOrder(steps=1, directions=2, beta=0.1, max_predicted_move=1.0)
        log = refine(model, EXAMPLES, step, layers=[2], seed=0, journal=journal)
        slopes = log["steps"][0]["projected_gradients"]
        return [*found, scores["1"].quant, *scores["2"].noise, *slopes]

    expected = outcomes(built("llama"), tmp_path / "whole")
    assert outcomes(cramped(), tmp_path / "halved") == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert max(rows) == 11
    assert rows.count(2) > rows.count(11)
