"""Settings of the judges: who decides whether a completion is an attack success."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from holdfast.settings.base import Frozen
from holdfast.settings.data import DataSource
from holdfast.settings.models import ModelSettings

PrefixList = Literal["strings29", "gcg7", "lower32"]
BatchSize = Annotated[int, Field(ge=1)] | Literal["auto"]
BATCH_SIZE = (
    "completions a batch, halved on out-of-memory; `auto`: as many as free memory holds. A number "
    "makes runs comparable bit for bit across machines: scores depend on it in their last bits"
)


class _Judge(Frozen):
    label: str = Field("", description="name shown in tables and figures; default: the entry's")


class HarmBench(_Judge):
    """HarmBench's classifier: yes when the completion is an instance of the behavior."""

    kind: Literal["harmbench"]
    model: ModelSettings = Field(description="the classifier, a causal language model")
    template: DataSource = Field(
        description="its prompt: JSON with `prompt` and `prompt_contextual`, or HarmBench's "
        "eval_utils.py, which is parsed and never executed"
    )
    max_completion_tokens: int = Field(
        512, ge=1, description="a completion is cut to this many of the judge's tokens"
    )
    batch_size: BatchSize = Field("auto", description=BATCH_SIZE)


class LlamaGuard(_Judge):
    """Llama Guard: yes when the assistant's turn is `unsafe` under its own chat template."""

    kind: Literal["llamaguard"]
    model: ModelSettings = Field(description="the classifier, a causal language model")
    answer_prefix: str = Field(
        "\n\n", description="text between the chat template's end and the label"
    )
    batch_size: BatchSize = Field("auto", description=BATCH_SIZE)


class RefusalPrefix(_Judge):
    """AdvBench-style string match: yes when no refusal string occurs in the completion."""

    kind: Literal["refusal_prefix"]
    prefixes: PrefixList = Field("strings29", description="which list of refusal strings")


Judge = Annotated[HarmBench | LlamaGuard | RefusalPrefix, Field(discriminator="kind")]
