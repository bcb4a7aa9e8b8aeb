"""Checkpoints that are quantized already: what their tensors become, told by headers."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch

from holdfast.checkpoints.packed import unpacked
from holdfast.checkpoints.shards import Files, Tensors, weight_files
from holdfast.checkpoints.tensors import (
    Account,
    account_of,
    dry_load,
    first_line,
    oddities,
    other_shapes,
    shapes,
)
from holdfast.errors import HoldfastError

METHODS = ("compressed-tensors", "gptq", "awq")
# llm-compressor names a Mixtral's experts as Llama names its feed-forward block.
MIXTRAL = {
    r"(\.experts\.\d+)\.gate_proj\.": r"\1.w1.",
    r"(\.experts\.\d+)\.up_proj\.": r"\1.w3.",
    r"(\.experts\.\d+)\.down_proj\.": r"\1.w2.",
}


def method_of(settings: Mapping[str, Any]) -> str:
    """Return the ``quant_method`` of a ``quantization_config``.

    Raises:
        HoldfastError: it names none.
    """
    method = settings.get("quant_method")
    if not method:
        raise HoldfastError(
            "its quantization_config names no quant_method; write the one of the tool that made it"
            f" ({', '.join(METHODS)}) into config.json"
        )
    return str(method)


def without_config(config: Any) -> tuple[Any, dict[str, Any]]:
    """Return a configuration without its ``quantization_config``, and that, empty without one."""
    plain = copy.deepcopy(config)
    settings = getattr(plain, "quantization_config", None) or {}
    if hasattr(plain, "quantization_config"):
        del plain.quantization_config
    return plain, settings if isinstance(settings, dict) else settings.to_dict()


def account_packed(
    model: Any, files: Files, tensors: Tensors, settings: Mapping[str, Any]
) -> Account:
    """Return what is unaccounted for of a GPTQ or AWQ checkpoint.

    Args:
        model: what its configuration describes, without content.
        files: the checkpoint's, of which only biases that have no place are read.
        tensors: what they hold.
        settings: its ``quantization_config``.

    Raises:
        HoldfastError: nothing is packed, or not as the settings say.
    """
    idle = idle_biases(tensors, model.state_dict())
    for name in weight_files(files, any_name=True) if idle else ():
        idle = idle - files.nonzero(name, idle & files.header(name).keys())
    content = {name: tensor for name, tensor in shapes(tensors).items() if name not in idle}
    with torch.device("meta"):
        plain = unpacked(content, settings, torch.float32)
    return account_of(model, plain, tensors, key_mapping=renamed_experts(model.config, plain))


def account_compressed(model: Any, tensors: Tensors, settings: Mapping[str, Any]) -> Account:
    """Return what is unaccounted for of a checkpoint that transformers itself decompresses.

    Raises:
        HoldfastError: its ``quantization_config`` cannot be read.
        ImportError: what reads it is not installed.
    """
    content = shapes(tensors)
    odd = oddities(model, content)
    if odd:
        return odd
    config = copy.deepcopy(model.config)
    config.quantization_config = dict(settings)
    more = {"config": config, "key_mapping": renamed_experts(config, tensors)}
    try:
        loaded, loading = dry_load(model, content, **more)
        account = Account.of(loading)
        if account:
            return account
        # With a quantizer, transformers takes any shape without a word.
        expected, _ = dry_load(model, {}, **more)
    except (HoldfastError, ImportError):
        raise
    except Exception as error:  # whatever the many formats make of odd settings
        raise HoldfastError(
            f"its quantization_config cannot be read ({first_line(error)}); take config.json and"
            " the weights from one checkpoint"
        ) from None
    return other_shapes(loaded.state_dict(), expected.state_dict())


def idle_biases(names: Collection[str], places: Collection[str]) -> set[str]:
    """Return biases of packed modules for which the model has no place.

    AutoGPTQ writes one, of zeros, for every module.
    """
    packed = {name.removesuffix(".qweight") for name in names if name.endswith(".qweight")}
    biases = {f"{module}.bias" for module in packed}
    return biases & set(names) - set(places)


def renamed_experts(config: Any, names: Iterable[str]) -> dict[str, str]:
    """Return the ``key_mapping`` by which ``from_pretrained`` finds a copy's experts."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    known = get_checkpoint_conversion_mapping(config.model_type) or []
    mixtral = any("experts.*.w1." in part for entry in known for part in entry.source_patterns)
    named = any(".experts." in name and ".gate_proj." in name for name in names)
    return MIXTRAL if mixtral and named else {}


def rotates_at_run_time(settings: Mapping[str, Any]) -> bool:
    """Return whether some rotation of ``transform_config`` is not folded into the weights."""
    groups = (settings.get("transform_config") or {}).get("config_groups") or {}
    places = [part["location"] for group in groups.values() for part in group.get("apply", [])]
    return any(not place.startswith("weight_") for place in places)
