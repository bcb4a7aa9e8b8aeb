"""A checkpoint's headers held against its configuration, before anything is made of them."""

from __future__ import annotations

from typing import Any

from holdfast.checkpoints.quantized import (
    METHODS,
    account_compressed,
    account_packed,
    method_of,
    rotates_at_run_time,
    without_config,
)
from holdfast.checkpoints.shards import Files, Tensors, stored_tensors
from holdfast.checkpoints.tensors import account_of, empty_model, first_line, refuse, shapes
from holdfast.errors import HoldfastError

OF_TOOLS = "quantize_config.json"  # where AutoGPTQ used to write what belongs into config.json


def check_model(config: Any, files: Files, *, remote: bool = False) -> Any:
    """Refuse a checkpoint that would not load whole; return its model, without content.

    Args:
        config: transformers' configuration of the checkpoint.
        files: the checkpoint's files.
        remote: whether its own code may run.

    Raises:
        HoldfastError: a tensor is missing, left over, or of another shape or kind, or the weights
            are not quantized as config.json says.
    """
    tensors = stored_tensors(files)
    plain, settings = without_config(config)
    model = empty_model(plain, remote=remote)
    account = account_of(model, shapes(tensors), tensors)
    if not settings:
        refuse(account, files.where, tensors)
    elif not account:
        raise HoldfastError(
            f"{files.where}: its config.json has a quantization_config and its weights are not"
            " quantized; remove `quantization_config` from config.json"
        )
    else:
        _check_quantized(model, tensors, settings, files.where)
    return model


def check_copy(config: Any, files: Files) -> None:
    """Refuse a quantized copy that could not be loaded rightly.

    Args:
        config: transformers' configuration of the copy.
        files: its files.

    Raises:
        HoldfastError: see :func:`check_model`; or it is not quantized, or in another way than those
            that are known.
    """
    plain, settings = without_config(config)
    if not settings:
        hint = f"; write what {OF_TOOLS} holds there" if OF_TOOLS in files.names else ""
        raise HoldfastError(
            f"its config.json has no quantization_config: it is not quantized{hint}"
        )
    method = method_of(settings)
    if method not in METHODS:
        raise HoldfastError(
            f"its quant_method '{method}' cannot be loaded here; known: {', '.join(METHODS)}"
        )
    tensors = stored_tensors(files, any_name=True)
    model = empty_model(plain)
    if method == "compressed-tensors":
        if rotates_at_run_time(settings):
            raise HoldfastError(
                "it rotates activations at run time, which transformers reloads wrongly"
            )
        account = account_compressed(model, tensors, settings)
    else:
        account = account_packed(model, files, tensors, settings)
    refuse(account, files.where, tensors)


def _check_quantized(model: Any, tensors: Tensors, settings: dict[str, Any], where: str) -> None:
    method = method_of(settings)
    try:
        account = account_compressed(model, tensors, settings)
    except ImportError as error:
        raise HoldfastError(
            f"{where} is quantized ({method}), and what reads that is not installed"
            f" ({first_line(error)}); take the checkpoint that is not quantized, or name this one"
            " in a perturbation of kind `checkpoint`"
        ) from None
    except HoldfastError:
        if method in METHODS:
            raise
        return  # a format that needs a card to be looked at: loading tells
    if method in METHODS:
        refuse(account, where, tensors)
