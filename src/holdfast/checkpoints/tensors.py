"""Whether every tensor of a checkpoint has its place in the model, and every place its tensor.

Transformers draws at random what a checkpoint lacks, and drops what it has too much of. It is let
do so with tensors that have a shape and no content, and what it reports is refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from holdfast.checkpoints.code import foreign_code_told
from holdfast.checkpoints.shards import Tensors
from holdfast.errors import HoldfastError

# What wrappers put into names, and whose it is. Those that end a part may stand anywhere in a name.
PREFIXES = {
    "_orig_mod.": "torch.compile",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
    "base_model.model.": "peft",
    "module.": "DataParallel or DeepSpeed",
    "model.": "a wrapping module",
    "transformer.": "a wrapping module",
}
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "BOOL": torch.bool,
}
EXPERT = re.compile(r"(.+\.experts\.)(\d+)(\..+)")
UNPUTTABLE = "issues during automatic conversion"  # in transformers' message


@dataclass(frozen=True)
class Account:
    """What does not fit: names of the model's and of the checkpoint's tensors; sentences."""

    missing: frozenset[str] = frozenset()
    left_over: frozenset[str] = frozenset()
    misfits: tuple[str, ...] = ()

    @staticmethod
    def of(loading: Mapping[str, Any]) -> Account:
        """Return the account that ``from_pretrained(…, output_loading_info=True)`` gives."""
        misfits = [misfit(*mismatch) for mismatch in loading["mismatched_keys"]]
        return Account(
            frozenset(loading["missing_keys"]),
            frozenset(loading["unexpected_keys"]),
            tuple(sorted(misfits)),
        )

    def __bool__(self) -> bool:
        return bool(self.missing or self.left_over or self.misfits)


def empty_model(config: Any, *, remote: bool = False, dtype: Any = None) -> Any:
    """Return the causal language model that ``config`` describes, its weights without content.

    Raises:
        HoldfastError: it describes none, or none that is known here.
    """
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"), foreign_code_told(config.name_or_path):
            return AutoModelForCausalLM.from_config(
                config, dtype=dtype or torch.float32, trust_remote_code=remote
            )
    except HoldfastError:
        raise
    except Exception as error:  # whatever a model's own code makes of odd settings
        raise HoldfastError(
            f"no causal language model can be made of its config.json ({first_line(error)}); take"
            " a checkpoint whose config.json was saved with it"
        ) from None


def account_of(
    model: Any, content: Mapping[str, torch.Tensor], tensors: Tensors, **more: Any
) -> Account:
    """Return what loading tensors into a model without content leaves unaccounted for.

    Args:
        model: as :func:`empty_model` returns it.
        content: the tensors, on the meta device.
        tensors: the same, as the files hold them.
        more: further arguments of ``from_pretrained``.
    """
    odd = oddities(model, content)
    if odd:
        return odd
    loaded, loading = dry_load(model, content, **more)
    account = Account.of(loading)
    missing = account.missing | _said_to_be_ignored(model, content)
    return Account(missing, account.left_over, (*account.misfits, *_kinds(loaded, tensors)))


def oddities(model: Any, content: Mapping[str, torch.Tensor]) -> Account:
    """Return what is wrong with the names, and which loading would not tell."""
    return Account(misfits=(*_twice(model, content), *_experts(content)))


def dry_load(model: Any, content: Mapping[str, torch.Tensor], **more: Any) -> tuple[Any, Any]:
    """Load tensors without content as ``from_pretrained`` does; return the model and its report.

    Raises:
        HoldfastError: tensors that become one do not fit together.
    """
    with _quiet(), conversions_told(str(model.config.name_or_path)):
        loaded, loading = type(model).from_pretrained(
            None,
            **{"dtype": torch.float32, "config": model.config} | more,
            state_dict=dict(content),
            device_map={"": "meta"},
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    return loaded, loading


@contextmanager
def conversions_told(where: str) -> Iterator[None]:
    """Turn transformers' refusal to make one tensor of several into one sentence."""
    try:
        yield
    except RuntimeError as error:
        if UNPUTTABLE not in str(error):
            raise
        raise HoldfastError(
            f"{where}: several tensors of its experts or heads cannot be put together to the one"
            " that config.json asks for; take both from one checkpoint"
        ) from None


def refuse(account: Account, where: str, names: Iterable[str] = ()) -> None:
    """Raise HoldfastError, in one sentence, unless every tensor is accounted for.

    ``names`` are the tensors' names in the checkpoint, where a known prefix is looked for; without
    them, it is in what is left over.
    """
    if not account:
        return
    for prefix, writer in PREFIXES.items():
        bare = {_without(prefix, name): name for name in names or account.left_over}
        fitting = sorted(account.missing & bare.keys())
        if fitting and bare[fitting[0]] != fitting[0]:
            raise HoldfastError(
                f"{where}: its tensors' names hold `{prefix}`, which {writer} put there"
                f" ({bare[fitting[0]]}), so that the model finds none of them; strip it:"
                f" `from safetensors.torch import load_file, save_file`, then for each file"
                f" `save_file({{n.replace({prefix!r}, '', 1): t for n, t in"
                " load_file(old).items()}, new, {'format': 'pt'})`, and in an index likewise"
            )
    told = [*account.misfits[:1]]
    if account.missing:
        told.append(f"tensor {_first(account.missing)} is missing")
    if account.left_over:
        told.append(f"tensor {_first(account.left_over)} is left over")
    raise HoldfastError(
        f"{where}: {', and '.join(told)}, so that config.json and the weights are not of one"
        " model; take both from one checkpoint, or save it again with `save_pretrained`"
    )


def misfit(name: str, here: Iterable[int], there: Iterable[int]) -> str:
    """Return that a tensor has the shape ``here`` and should have the shape ``there``."""
    return f"tensor {name} has the shape {list(here)} where config.json asks for {list(there)}"


def shapes(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return the tensors without content."""
    return {
        name: torch.empty(stored.shape, dtype=DTYPES.get(stored.dtype, torch.uint8), device="meta")
        for name, stored in tensors.items()
    }


def other_shapes(loaded: Mapping[str, Any], expected: Mapping[str, Any]) -> Account:
    """Return the tensors of a model that have not the shape of their namesakes."""
    return Account(
        misfits=tuple(
            misfit(name, tensor.shape, expected[name].shape)
            for name, tensor in loaded.items()
            if name in expected
            and tensor.shape != expected[name].shape
            and not tensor.numel() == expected[name].numel() == 1
        )
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _twice(model: Any, names: Iterable[str]) -> Iterator[str]:
    """Yield names that differ by the base model's prefix alone, which loading adds or removes."""
    every = set(names)
    for name in sorted(every):
        longer = f"{model.base_model_prefix}.{name}"
        if longer in every:
            yield f"tensors {name} and {longer} are for one place"


def _experts(content: Mapping[str, torch.Tensor]) -> Iterator[str]:
    """Yield what is odd about experts that are stored one by one, which loading stacks in order."""
    groups: dict[tuple[str, str], dict[str, torch.Tensor]] = defaultdict(dict)
    numbers: dict[str, set[str]] = defaultdict(set)
    for name, tensor in content.items():
        match = EXPERT.fullmatch(name)
        if match:
            groups[match[1], match[3]][match[2]] = tensor
            numbers[match[1]].add(match[2])
    for (start, end), members in sorted(groups.items()):
        for number in sorted(numbers[start] | set(map(str, range(len(numbers[start]))))):
            if number not in members:
                yield f"tensor {start}{number}{end} is missing, which other experts have"
            elif members[number].shape != members[min(members)].shape:
                yield misfit(
                    f"{start}{number}{end}", members[number].shape, members[min(members)].shape
                )


def _said_to_be_ignored(model: Any, names: Iterable[str]) -> set[str]:
    """Return parameters that nothing gives and the model's class does not report as missing."""
    patterns = model._keys_to_ignore_on_load_missing or ()
    tied = getattr(model, "all_tied_weights_keys", {})
    return {
        name
        for name, _ in model.named_parameters()
        if any(re.search(pattern, name) for pattern in patterns)
        and name not in tied
        and not any(given.endswith(name) or name.endswith(given) for given in names)
    }


def _kinds(model: Any, tensors: Tensors) -> Iterator[str]:
    """Yield whole numbers that a checkpoint has where the model has others."""
    for name, tensor in model.state_dict().items():
        stored = tensors.get(name)
        if not stored or not tensor.is_floating_point():
            continue
        if stored.dtype not in DTYPES or not DTYPES[stored.dtype].is_floating_point:
            yield f"tensor {name} holds whole numbers ({stored.dtype}) and no weights"


def _without(prefix: str, name: str) -> str:
    return name.replace(prefix, "", 1)


def _first(names: Iterable[str]) -> str:
    every = sorted(names)
    return f"{every[0]} (and {len(every) - 1} more)" if every[1:] else every[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' own report, pages of it, and its progress bar away."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
