"""GPTQ's and AWQ's packed integers as plain weights, without their kernels.

Both store a linear module as integers ``q`` with a scale ``s`` and a zero point ``z`` per group of
inputs; the weight is ``s * (q - z)``. A kernel that multiplies by the integers gives the same
logits up to the order in which it rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.errors import HoldfastError

PARTS = ("qweight", "qzeros", "scales", "g_idx")
WORD = 32  # bits of a packed integer
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # where a 32-bit word of AutoAWQ holds each of its 8 columns
# What a checkpoint may ask for besides integers, scales and zeros; without it, logits are wrong.
EXTRAS = ("activation", "adapter", "rotation")


def unpacked(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return a checkpoint's tensors with every packed module as one ``weight``.

    Args:
        tensors: the tensors of all files of a checkpoint; packed modules hold ``qweight``,
            ``qzeros``, ``scales`` and, for GPTQ, ``g_idx``.
        settings: ``quantization_config`` of its ``config.json``; ``quant_method`` is ``gptq``
            (formats ``gptq`` and ``gptq_v2``, 2 to 8 bits) or ``awq`` (``gemm``, 4 bits).
        dtype: of the weights, [outputs, inputs], which are formed in float32 and rounded once.

    Raises:
        HoldfastError: the format is another one, or a part of a module is missing.
    """
    read = _reader(settings)
    plain = dict(tensors)
    modules = [name.removesuffix(".qweight") for name in tensors if name.endswith(".qweight")]
    if not modules:
        raise HoldfastError(
            "its config.json has a quantization_config and none of its tensors is packed"
            " (`qweight`); take config.json and the weights from one checkpoint"
        )
    _check_order(tensors, modules, settings)
    for module in modules:
        parts = {}
        for part in PARTS:
            parts[part] = plain.pop(f"{module}.{part}", None)
            if parts[part] is None and part != "g_idx":
                raise HoldfastError(f"tensor {module}.{part} is missing")
        _check_shapes(module, parts, settings)
        plain[f"{module}.weight"] = read(**parts).to(dtype)
    return plain


def _check_order(
    tensors: Mapping[str, Tensor], modules: list[str], settings: Mapping[str, Any]
) -> None:
    """Refuse modules without the order of their inputs where it was changed."""
    without = [module for module in modules if f"{module}.g_idx" not in tensors]
    if without and (settings.get("desc_act") or len(without) < len(modules)):
        raise HoldfastError(f"tensor {without[0]}.g_idx is missing")


def _check_shapes(
    module: str, parts: Mapping[str, Tensor | None], settings: Mapping[str, Any]
) -> None:
    """Refuse parts that are not of one module; some would be spread over others without a word."""
    qweight, qzeros, scales, g_idx = (parts[name] for name in PARTS)
    assert qweight is not None
    assert qzeros is not None
    assert scales is not None
    whole = qweight.ndim == qzeros.ndim == scales.ndim == 2 and scales.numel() > 0
    if whole:
        groups, outputs = scales.shape
        bits = qzeros.shape[1] * WORD // outputs
        per_word = WORD // 4 if settings["quant_method"] == "awq" else 1
        width = qweight.shape[1] * per_word
        inputs = qweight.shape[0]
        if settings["quant_method"] != "awq":
            inputs = inputs * WORD // bits if bits else 0
        whole = (
            width == outputs
            and qzeros.shape == (groups, outputs * bits // WORD)
            and 2 <= bits <= 8
            and inputs > 0
            and (inputs % groups == 0 if g_idx is None else g_idx.shape == (inputs,))
            and {qweight.dtype, qzeros.dtype} == {torch.int32}
            and scales.is_floating_point()
        )
    if not whole:
        raise HoldfastError(
            f"tensors {', '.join(name for name in PARTS if parts[name] is not None)} of {module}"
            " do not fit one another; copy or download the checkpoint again"
        )


def _reader(settings: Mapping[str, Any]) -> Any:
    for extra in EXTRAS:
        if settings.get(extra):
            raise HoldfastError(f"its quantization_config has `{extra}`, which is not supported")
    if settings["quant_method"] == "awq":
        layout = str(settings.get("version") or settings.get("format") or "gemm").lower()
        if layout != "gemm":
            raise HoldfastError(f"its AWQ layout '{layout}' is not supported; `gemm` is")
        return _awq
    layout = str(settings.get("checkpoint_format") or settings.get("format") or "gptq").lower()
    if layout not in ("gptq", "gptq_v2"):
        raise HoldfastError(f"its GPTQ layout '{layout}' is not supported; gptq and gptq_v2 are")
    offset = 1 if layout == "gptq" else 0  # the first format stores each zero point less one
    return lambda **parts: _gptq(**parts, offset=offset)


def _gptq(
    qweight: Tensor, qzeros: Tensor, scales: Tensor, g_idx: Tensor | None, offset: int
) -> Tensor:
    groups, outputs = scales.shape
    bits = qzeros.shape[1] * WORD // outputs
    integers = unpack(qweight.T, bits)
    zeros = (unpack(qzeros, bits) + offset) & (2**bits - 1)
    inputs = integers.shape[1]
    group = torch.arange(inputs) // (inputs // groups) if g_idx is None else g_idx.long()
    return (integers - zeros.T[:, group]) * scales.float().T[:, group]


def _awq(qweight: Tensor, qzeros: Tensor, scales: Tensor, g_idx: Tensor | None) -> Tensor:
    groups, outputs = scales.shape
    inputs = qweight.shape[0]
    order = torch.arange(outputs).view(-1, WORD // 4)[:, AWQ_ORDER].flatten()
    integers, zeros = (unpack(packed, 4)[:, order] for packed in (qweight, qzeros))
    group = torch.arange(inputs) // (inputs // groups)
    return ((integers - zeros[group]) * scales.float()[group]).T.contiguous()


def unpack(words: Tensor, bits: int) -> Tensor:
    """Return the ``bits``-wide integers of int32 ``words``, [rows, words * 32 / bits].

    A row is one stream of bits, the lowest of each word first; an integer may lie in two words.
    """
    start = torch.arange(words.shape[1] * WORD // bits) * bits
    word, shift = start // WORD, start % WORD
    unsigned = words.long() & 0xFFFFFFFF
    following = torch.nn.functional.pad(unsigned[:, 1:], (0, 1))
    both = unsigned | following << WORD
    return both[:, word] >> shift & (2**bits - 1)
