"""The plain computations: what Holdfast's are compared with, written with no care for speed.

Each is what one would write with transformers alone: full forward passes, the model's own loss
over the logits of every position, noise redrawn in full, batches in the order given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.engine.batches import Batch, Example, collate

Draw = Callable[[int, str, Tensor], Tensor]  # (direction, parameter's name, parameter) -> noise


def fresh(_direction: int, _name: str, parameter: Tensor) -> Tensor:
    """Draw from PyTorch's generator."""
    return torch.randn_like(parameter)


def batches(examples: Sequence[Example], size: int) -> list[Batch]:
    """Pad batches in the order given."""
    return [collate(examples[i : i + size], 0) for i in range(0, len(examples), size)]


@torch.no_grad()
def loss(model: Any, batches: Iterable[Batch]) -> float:
    """Return the mean NLL of the response tokens from the model's own loss."""
    total, count = 0.0, 0
    for batch in batches:
        tokens = int((batch.labels[:, 1:] != -100).sum())
        on_device = batch.to(model.device)._asdict()
        total += float(model(**on_device, use_cache=False).loss) * tokens
        count += tokens
    return total / count


@torch.no_grad()
def sensitivity(
    model: Any,
    batches: Sequence[Batch],
    layers: Sequence[int],
    *,
    draws: int,
    rho: float,
    bits: int,
    group: int,
    draw: Draw = fresh,
) -> dict[int, list[float]]:
    """Return the loss of every noise draw and, last, of the quantized copy, by layer."""
    found: dict[int, list[float]] = {}
    for index in layers:
        layer = model.model.layers[index]
        prefix = f"model.layers.{index}."
        kept = {name: weight.clone() for name, weight in layer.named_parameters()}
        found[index] = []
        for direction in range(draws):
            for name, weight in layer.named_parameters():
                weight.add_(draw(direction, prefix + name, weight), alpha=rho)
            found[index].append(loss(model, batches))
            _put_back(layer, kept)
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(_rounded(module.weight, bits, group))
        found[index].append(loss(model, batches))
        _put_back(layer, kept)
    return found


@torch.no_grad()
def zo_step(
    model: Any,
    parameters: Mapping[str, Tensor],
    batches: Sequence[Batch],
    *,
    directions: Sequence[int],
    beta: float,
    rate: float,
    weight_decay: float = 0.0,
    draw: Draw = fresh,
) -> tuple[float, float]:
    """Take one in-place two-point step (Malladi et al., 2023); return the mean f(+) and f(-).

    ``directions`` are seeds. Noise is never stored: each of the four sweeps of a direction draws
    it again from the reset generator.
    """

    def sweep(direction: int, scale: float) -> None:
        torch.manual_seed(direction)
        for name, parameter in parameters.items():
            parameter.add_(draw(direction, name, parameter), alpha=scale)

    plus, minus = [], []
    for direction in directions:
        sweep(direction, beta)
        plus.append(loss(model, batches))
        sweep(direction, -2 * beta)
        minus.append(loss(model, batches))
        sweep(direction, beta)
    if weight_decay:
        for parameter in parameters.values():
            parameter.mul_(1 - rate * weight_decay)
    for direction, above, below in zip(directions, plus, minus, strict=True):
        sweep(direction, -rate * (above - below) / (2 * beta) / len(directions))
    return sum(plus) / len(plus), sum(minus) / len(minus)


@torch.no_grad()
def complete(model: Any, tokenizer: Any, prompts: Iterable[str], new_tokens: int) -> list[str]:
    """Complete one prompt after the other, greedily."""
    texts = []
    for prompt in prompts:
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device)
        inputs.pop("token_type_ids", None)
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=new_tokens)
        answer = tokens[0, inputs["input_ids"].shape[1] :]
        texts.append(tokenizer.decode(answer, skip_special_tokens=True))
    return texts


@torch.no_grad()
def answers(
    model: Any, prompts: Iterable[Sequence[int]], labels: tuple[Sequence[int], Sequence[int]]
) -> list[tuple[int, float]]:
    """Return the next token and the log-odds of the labels, one prompt after the other."""
    found = []
    for prompt in prompts:
        input_ids = torch.tensor([list(prompt)], device=model.device)
        logits = model(input_ids=input_ids, logits_to_keep=1).logits[0, -1].float()
        yes, no = (logits[list(tokens)].logsumexp(0) for tokens in labels)
        found.append((int(logits.argmax()), float(yes - no)))
    return found


def _put_back(layer: nn.Module, kept: Mapping[str, Tensor]) -> None:
    for name, weight in layer.named_parameters():
        weight.copy_(kept[name])


def _rounded(weight: Tensor, bits: int, group: int) -> Tensor:
    groups = weight.view(len(weight), -1, group)
    scale = groups.abs().amax(dim=-1, keepdim=True) / ((2**bits - 1) / 2)
    grid = (groups / scale).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).round()
    return (grid * scale).view_as(weight)
