"""Quantized checkpoints: ready-made ones, which people deploy, and those that a run makes."""

from __future__ import annotations

import warnings
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
    base_of,
    checkpoint_of,
    load_tokenizer,
)
from holdfast.checkpoints.placement import place
from holdfast.checkpoints.records import ARM_FILE, MODEL_FILE
from holdfast.errors import HoldfastError
from holdfast.files.atomic import atomic_dir, read_json
from holdfast.perturbations.packed import unpacked
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbations import Checkpoint

METHODS = ("compressed-tensors", "gptq", "awq")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
SHAPE = {  # what a checkpoint shares with the model that it is a copy of
    "num_hidden_layers": "decoder layers",
    "vocab_size": "tokens in its vocabulary",
    "hidden_size": "numbers a hidden state",
}


def prepare_checkpoints(settings: Checkpoint, *, base: Path, folder: Path) -> None:
    """Fetch the checkpoint of every level and write where it is to ``folder/<level>``.

    ``settings`` has one variant a level; ``base`` is the folder of the base model. A checkpoint
    without a tokenizer gets the base model's.

    Raises:
        HoldfastError: a checkpoint cannot be had, is not quantized in a way that can be loaded
            rightly, or differs from the base model in layers, vocabulary or width.
    """
    with atomic_dir(folder) as made:
        for level, (variant,) in settings.levels.items():
            source = variant.model_dump(include={"hub", "path", "revision"})
            try:
                prepare_model(ModelSettings(**source), made / level)
                _check(_folder(made / level), base)
            except HoldfastError as error:
                raise HoldfastError(f"checkpoint '{level}' of {variant.model}: {error}") from None
            if not _has_tokenizer(_folder(made / level)):
                remote = base_of(base)["trust_remote_code"]
                tokenizer = load_tokenizer(checkpoint_of(base), remote=remote)
                tokenizer.save_pretrained(made / level)


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
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    settings = config.quantization_config
    if settings["quant_method"] == "compressed-tensors":
        model, loading = _compressed_tensors(folder, settings)
    else:
        model, loading = _packed(folder, config, settings)
    wrong = sorted(
        {*loading["missing_keys"], *loading["unexpected_keys"], *loading["mismatched_keys"]}
    )
    if wrong:
        raise HoldfastError(f"{folder.name}: tensor {wrong[0]} is missing or does not fit")
    return model


def _packed(folder: Path, config: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    del config.quantization_config
    dtype = config.dtype or torch.float16
    tensors = {name: t for file in _files(folder) for name, t in load_file(file).items()}
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None,
        config=config,
        state_dict=unpacked(tensors, settings, dtype),
        dtype=dtype,
        generation_config=generation_tokens(folder),
        output_loading_info=True,
    )


def _compressed_tensors(folder: Path, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if _rotates_at_run_time(settings):
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
            output_loading_info=True,
        )


def _rotates_at_run_time(settings: dict[str, Any]) -> bool:
    """Whether some rotation of ``transform_config`` is not folded into the weights."""
    groups = (settings.get("transform_config") or {}).get("config_groups") or {}
    places = [part["location"] for group in groups.values() for part in group.get("apply", [])]
    return any(not place.startswith("weight_") for place in places)


def _files(folder: Path) -> list[Path]:
    """Return the files of weights: those that the index names, or the only one."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    return sorted(folder.glob("*.safetensors"))


def _check(folder: Path, base: Path) -> None:
    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    expected: Any = AutoConfig.from_pretrained(
        checkpoint_of(base), trust_remote_code=base_of(base)["trust_remote_code"]
    )
    settings = getattr(config, "quantization_config", None)
    if not settings:
        raise HoldfastError("its config.json has no quantization_config: it is not quantized")
    if settings["quant_method"] not in METHODS:
        raise HoldfastError(
            f"its quant_method '{settings['quant_method']}' cannot be loaded here;"
            f" known: {', '.join(METHODS)}"
        )
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


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).exists() for name in TOKENIZER_FILES)
