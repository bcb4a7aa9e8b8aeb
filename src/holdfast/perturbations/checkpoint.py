"""Quantized checkpoints: ready-made ones, which people deploy, and those that a run makes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    CompressedTensorsConfig,
)

from holdfast.arms.load import load_arm
from holdfast.checkpoints.base import prepare_model
from holdfast.checkpoints.ends import generation_tokens
from holdfast.checkpoints.load import (
    Loaded,
    Tokenizer,
    base_of,
    checkpoint_of,
    load_tokenizer,
)
from holdfast.checkpoints.packed import unpacked
from holdfast.checkpoints.placement import place
from holdfast.checkpoints.quantized import (
    idle_biases,
    method_of,
    renamed_experts,
    rotates_at_run_time,
    without_config,
)
from holdfast.checkpoints.records import ARM_FILE, MODEL_FILE
from holdfast.checkpoints.shards import LocalFiles, stored_tensors, weight_files
from holdfast.checkpoints.tensors import Account, empty_model, other_shapes, refuse
from holdfast.checkpoints.verify import check_copy
from holdfast.errors import HoldfastError
from holdfast.files.atomic import atomic_dir
from holdfast.settings.models import ModelSettings
from holdfast.settings.quantization import Checkpoint

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
SHAPE = {  # what a checkpoint shares with the model that it is a copy of
    "num_hidden_layers": "decoder layers",
    "vocab_size": "tokens in its vocabulary",
    "hidden_size": "numbers a hidden state",
}


def prepare_checkpoints(settings: Checkpoint, *, base: Path, folder: Path) -> None:
    """Fetch the checkpoint of every level and write where it is to ``folder/<level>``.

    ``settings`` has one variant a level; ``base`` is the folder of the base model. A checkpoint
    without a tokenizer, or whose tokenizer has no chat template, gets the base model's.

    Raises:
        HoldfastError: a checkpoint cannot be had, is not quantized in a way that can be loaded
            rightly, lacks tensors or has too many, or differs from the base model in layers,
            vocabulary or width.
    """
    remote = base_of(base)["trust_remote_code"]
    expected = AutoConfig.from_pretrained(checkpoint_of(base), trust_remote_code=remote)

    def check(config: Any, files: LocalFiles) -> None:
        _check_sizes(config, expected)
        check_copy(config, files)

    with atomic_dir(folder) as made:
        for level, (variant,) in settings.levels.items():
            source = variant.model_dump(include={"hub", "path", "revision"})
            try:
                prepare_model(ModelSettings(**source), made / level, check=check)
                own = _tokenizer(_folder(made / level))
                if own is None or not own.chat_template:
                    tokenizer = load_tokenizer(checkpoint_of(base), remote=remote)
                    if own is not None and own.get_vocab() != tokenizer.get_vocab():
                        raise HoldfastError(
                            "its tokenizer has no chat template and other tokens than the base"
                            " model's, so that neither fits; add its chat_template.jinja"
                        )
                    tokenizer.save_pretrained(made / level)
            except HoldfastError as error:
                raise HoldfastError(f"checkpoint '{level}' of {variant.model}: {error}") from None


def load_copy(copy: Path, arm: Path) -> Loaded:
    """Load the copy of an arm that lies in, or is named in, the folder ``copy``.

    One that was fine-tuned is an arm itself. The weights of a quantized one are decompressed, in
    its own data type, so no kernel is needed; activations that a compressed-tensors checkpoint
    quantizes are still quantized.
    """
    if (copy / ARM_FILE).exists():
        return load_arm(copy)
    folder = _folder(copy)
    model = place(load_model(folder).requires_grad_(False).eval())
    tokenizer = load_tokenizer(copy if _has_tokenizer(copy) else folder)
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Loaded(model, tokenizer, base_of(arm))


def load_model(folder: Path) -> Any:
    """Return the model of a GPTQ, AWQ or compressed-tensors folder, its weights decompressed.

    Raises:
        HoldfastError: the format is another one, or tensors are missing or left over.
    """
    plain, settings = without_config(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    files = LocalFiles(folder)
    tensors, empty = stored_tensors(files, any_name=True), empty_model(plain)
    if method_of(settings) == "compressed-tensors":
        model, loading = _compressed_tensors(folder, settings, renamed_experts(plain, tensors))
    else:
        paths = [folder / name for name in weight_files(files, any_name=True)]
        model, loading = _packed(paths, plain, settings, empty.state_dict())
    refuse(Account.of(loading), folder.name, tensors)
    refuse(other_shapes(model.state_dict(), empty.state_dict()), folder.name, tensors)
    return model


def _packed(
    paths: Sequence[Path], config: Any, settings: dict[str, Any], places: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    dtype = config.dtype or torch.float16
    tensors = {name: t for path in paths for name, t in load_file(path).items()}
    for name in idle_biases(tensors, places):
        if not tensors[name].any():
            del tensors[name]
    plain = unpacked(tensors, settings, dtype)
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None,
        config=config,
        state_dict=plain,
        dtype=dtype,
        key_mapping=renamed_experts(config, plain),
        generation_config=generation_tokens(paths[0].parent),
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )


def _compressed_tensors(
    folder: Path, settings: dict[str, Any], key_mapping: dict[str, str]
) -> tuple[Any, dict[str, Any]]:
    if rotates_at_run_time(settings):
        raise HoldfastError(
            "it rotates activations at run time, which transformers reloads wrongly"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You passed `quantization_config`")
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            generation_config=generation_tokens(folder),
            use_safetensors=True,
            trust_remote_code=False,
            quantization_config=CompressedTensorsConfig(dequantize=True),
            key_mapping=key_mapping,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )


def _check_sizes(config: Any, expected: Any) -> None:
    for name, what in SHAPE.items():
        here, there = (getattr(c.get_text_config(), name) for c in (config, expected))
        if here != there:
            raise HoldfastError(
                f"it has {here} {what} and the base model has {there}: it was made from another"
                " model"
            )


def _folder(copy: Path) -> Path:
    """Return the local folder of weights behind ``copy``: itself, or what its record names."""
    return checkpoint_of(copy) if (copy / MODEL_FILE).exists() else copy


def _tokenizer(folder: Path) -> Tokenizer | None:
    """Return the tokenizer of a folder that has one and needs no code of its own for it."""
    if not _has_tokenizer(folder):
        return None
    return load_tokenizer(folder)


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).exists() for name in TOKENIZER_FILES)
