"""Folders of packed integers, as quantization tools write them."""

from __future__ import annotations

import json
import random

import torch
from safetensors.torch import load_file, save_file

import tiny_llama

AWQ = {"quant_method": "awq", "version": "gemm", "bits": 4, "group_size": 8, "zero_point": True}

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": False, "sym": False}


def words(rows: list[list[int]], bits: int) -> torch.Tensor:
    """Pack integers by Python's own arithmetic: a row is one long number, lowest integer first."""
    packed = []
    for row in rows:
        number = sum(value << (bits * place) for place, value in enumerate(row))
        size = len(row) * bits // 32
        unsigned = [number >> (32 * word) & 0xFFFFFFFF for word in range(size)]
        packed.append([word - (1 << 32) if word >> 31 else word for word in unsigned])
    return torch.tensor(packed, dtype=torch.int32)


def integers(rows: int, columns: int, bits: int, seed: int) -> list[list[int]]:
    draw = random.Random(seed)  # noqa: S311
    return [[draw.randrange(2**bits) for _ in range(columns)] for _ in range(rows)]


def awq_folder(folder, seed: int = 0) -> None:
    """A tiny Llama whose linear modules are random AWQ integers, as AutoAWQ writes them."""
    model = tiny_llama.model(seed=seed)
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    order = [0, 2, 4, 6, 1, 3, 5, 7]  # the columns of a word, from its lowest bits up
    for seed, name in enumerate(n for n in list(tensors) if n.endswith("_proj.weight")):
        outputs, inputs = tensors.pop(name).shape

        def pack(rows, columns, seed=seed):
            drawn = integers(rows, columns, 4, seed)
            return words(
                [[row[o + c] for o in range(0, columns, 8) for c in order] for row in drawn], 4
            )

        module = name.removesuffix(".weight")
        tensors[f"{module}.qweight"] = pack(inputs, outputs)
        tensors[f"{module}.qzeros"] = pack(inputs // 8, outputs)
        scales = torch.rand(inputs // 8, outputs, generator=torch.Generator().manual_seed(seed))
        tensors[f"{module}.scales"] = (scales / 16).half()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    quantized(folder, AWQ)


def quantized(folder, quantization_config) -> None:
    """Write a ``quantization_config`` to a folder's config.json."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = quantization_config
    (folder / "config.json").write_text(json.dumps(config))


def gptq_folder(folder, model, *, biases: bool = True) -> dict[str, torch.Tensor]:
    """Save a model as AutoGPTQ does, in groups of 8, and return its tensors as plain weights.

    ``biases``: as AutoGPTQ, with a bias of zeros for each module that has none.
    """
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    plain = dict(tensors)
    linear = [n for n in tensors if n.endswith(("_proj.weight", ".w1.weight", ".w2.weight"))]
    linear += [name for name in tensors if name.endswith(".w3.weight")]
    for seed, name in enumerate(linear):
        outputs, inputs = tensors.pop(name).shape
        q, zeros = integers(inputs, outputs, 4, seed), integers(inputs // 8, outputs, 4, seed + 1)
        scales = torch.rand(inputs // 8, outputs, generator=torch.Generator().manual_seed(seed))
        scales = (scales / 16).half()
        order = torch.arange(inputs) // 8
        weight = (torch.tensor(q) - torch.tensor(zeros)[order]) * scales.float()[order]
        plain[name] = weight.T.contiguous()
        module = name.removesuffix(".weight")
        columns = [list(column) for column in zip(*q, strict=True)]
        tensors |= {
            f"{module}.qweight": words(columns, 4).T.contiguous(),
            f"{module}.qzeros": words([[(zero - 1) % 16 for zero in row] for row in zeros], 4),
            f"{module}.scales": scales,
            f"{module}.g_idx": order.int(),
        }
        if biases:
            tensors.setdefault(f"{module}.bias", torch.zeros(outputs, dtype=torch.float16))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    quantized(folder, GPTQ)
    return plain
