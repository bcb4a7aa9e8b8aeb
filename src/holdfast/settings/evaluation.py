"""Settings of the utility measures: what a perturbation or a repair costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from holdfast.settings.base import Frozen
from holdfast.settings.data import DataSource

# lm-eval has names of more than 80 letters, some with parentheses; a local one names a file too.
TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.()-]*$", max_length=128)]
LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
# Keys of a task file that take code or data from elsewhere, where nothing pins it.
FOREIGN = (
    "include",
    "class",
    "custom_dataset",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "process_docs",
    "process_results",
    "use_prompt",
)


class PerplexitySettings(Frozen):
    """Perplexity over non-overlapping windows of a text (GPTQ's convention)."""

    window: int = Field(2048, ge=2, description="tokens in a window")
    batch_size: int = Field(1, ge=1, description="windows a batch")
    bos: bool = Field(
        False,
        description="put the beginning-of-sequence token before every window; GPTQ's convention,"
        " the default, has it before the first alone, which misleads for models that need it"
        " (Gemma): the log and a note under every table with perplexity say so where it would"
        " lower a window's NLL by more than a tenth",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``bos`` out unless it is set: what was measured without it stays finished."""
        settings: dict[str, Any] = dump(self)
        return settings if self.bos else {k: v for k, v in settings.items() if k != "bos"}


class LmEvalTask(Frozen):
    """A task: ``{}`` for one of lm-eval's own, ``data`` and ``config`` for a local one."""

    data: DataSource | None = Field(None, description="documents of a local task")
    config: dict[str, Any] | None = Field(
        None, description="keys of lm-eval's task file; `output_type` multiple_choice by default"
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> LmEvalTask:
        if (self.data is None) != (self.config is None):
            raise ValueError("a local task needs `data` and `config`, one of lm-eval's own neither")
        foreign = {*FOREIGN, "hf_evaluate"} & set(_keys(self.config or {}))
        if foreign:
            raise ValueError(
                f"`config` must not have `{min(foreign)}`, which takes code or data from elsewhere"
            )
        return self


class LmEvalSettings(Frozen):
    """Zero-shot accuracy by lm-evaluation-harness, without chat template."""

    tasks: dict[TaskName, LmEvalTask] = Field(min_length=1, description="tasks and groups by name")
    limit: int | None = Field(
        None, ge=1, description="first documents used per (sub)task; null: all"
    )
    batch_size: int = Field(16, ge=1, description="requests a batch")

    @model_validator(mode="after")
    def _local_names_are_file_names(self) -> LmEvalSettings:
        for name, task in self.tasks.items():
            if task.data and not LOCAL.fullmatch(name):
                raise ValueError(
                    f"task '{name}': give a local task a name of letters, digits, `_`, `-` and `.`"
                )
        return self


def _keys(value: dict[str, Any] | list[Any]) -> Iterator[str]:
    """Yield the keys of nested dictionaries and lists."""
    if isinstance(value, dict):
        yield from value
    for entry in value.values() if isinstance(value, dict) else value:
        if isinstance(entry, dict | list):
            yield from _keys(entry)


class Generation(Frozen):
    """Greedy completions."""

    max_new_tokens: int = Field(512, ge=1, description="longest completion, in tokens")
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="prompts a batch, halved on out-of-memory; `auto`: as many as free memory"
        " holds, told in the log. A number makes runs comparable bit for bit across machines:"
        " logits depend on it in their last bits. A run resumed under `auto` may choose another"
        " number for the prompts that are left",
    )


class Utility(Frozen):
    """Measures of what a perturbation or repair costs."""

    perplexity: PerplexitySettings = Field(description="windowed perplexity (GPTQ convention)")
    lm_eval: LmEvalSettings = Field(description="zero-shot accuracy by lm-evaluation-harness")
