from __future__ import annotations

import pytest
import torch
from transformers import GemmaConfig, GemmaForCausalLM

import tiny_llama
from holdfast.engine.batches import collate, make_batches
from holdfast.engine.loss import response_loss, response_nll


def reference(model: torch.nn.Module, examples: list) -> tuple[float, int]:
    """Sum of NLL and number of tokens, one unpadded example at a time, full logits."""
    total, count = 0.0, 0
    for example in examples:
        ids = torch.tensor([example.input_ids])
        logits = model(input_ids=ids).logits[0].double().log_softmax(-1)
        for position in range(example.labels_from, ids.shape[1]):
            total -= float(logits[position - 1, ids[0, position]])
            count += 1
    return total, count


@torch.no_grad()
def test_loss_is_the_token_mean_of_full_forward_passes() -> None:
    model = tiny_llama.model(torch.float64)
    examples = tiny_llama.examples(17)
    total, count = reference(model, examples)
    loss = response_loss(model, make_batches(examples, 4))
    assert loss == pytest.approx(total / count, rel=1e-6)  # the loss itself is float32


@torch.no_grad()
def test_padding_cannot_change_a_loss() -> None:
    model = tiny_llama.model(torch.float64)
    example, longer = sorted(tiny_llama.examples(9), key=lambda e: len(e.input_ids))[::8]
    alone = response_nll(model, collate([example], pad_id=0))[0]
    for pad_id in (0, 7):
        batch = collate([example, longer], pad_id)
        batch.labels[1] = -100
        total, count = response_nll(model, batch)
        assert float(total) == pytest.approx(float(alone), rel=1e-7)
        assert count == len(example.input_ids) - example.labels_from


def test_gradient_is_that_of_the_labelled_loss_of_transformers() -> None:
    model = tiny_llama.model()
    batch = collate(tiny_llama.examples(5), pad_id=0)
    total, count = response_nll(model, batch)
    (total / count).backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model(**batch._asdict()).loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_another_architecture_gives_its_own_loss() -> None:
    torch.manual_seed(1)
    config = GemmaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    model = GemmaForCausalLM(config).eval()
    examples = tiny_llama.examples(6)
    total, count = reference(model, examples)
    assert response_loss(model, make_batches(examples, 3)) == pytest.approx(total / count, rel=1e-5)


@torch.no_grad()
def test_no_hook_stays() -> None:
    model = tiny_llama.model()
    response_loss(model, make_batches(tiny_llama.examples(2), 2))
    assert not model.get_output_embeddings()._forward_pre_hooks
    with pytest.raises(IndexError):
        response_nll(
            model,
            collate([tiny_llama.examples(1)[0]], 0)._replace(input_ids=torch.tensor([[99999]])),
        )
    assert not model.get_output_embeddings()._forward_pre_hooks
