"""Settings of the judges: who decides whether a completion is an attack success.

A new kind is a class here, a member of ``Judge``, and a module ``holdfast.judges.<kind>`` with a
function ``judge_of``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from holdfast.settings.base import Frozen
from holdfast.settings.data import DataSource
from holdfast.settings.models import ModelSettings
from holdfast.settings.own import OwnObject

PrefixList = Literal["strings29", "gcg7", "lower32"]
BatchSize = Annotated[int, Field(ge=1)] | Literal["auto"]
BATCH_SIZE = (
    "completions a batch, halved on out-of-memory; `auto`: as many as free memory holds. A number "
    "makes runs comparable bit for bit across machines: scores depend on it in their last bits"
)


class JudgeSettings(Frozen):
    """What a judge is called, and what it needs: by default nothing but the completions."""

    needs_tokenizer: ClassVar[Literal["none", "plain", "chat"]] = "none"
    mean_tokens: ClassVar[int] = 1024  # of instructions, a behavior and its completion
    most_tokens: ClassVar[int] = 2048  # of the longest of those
    label: str = Field("", description="name shown in tables and figures; default: the entry's")

    @property
    def own(self) -> OwnObject | None:
        """The object of the user's own that it is, where it is one."""
        return None

    @property
    def needs_model(self) -> ModelSettings | None:
        """The model that judges; None for a judge without one."""
        return None

    @property
    def needs_template(self) -> DataSource | None:
        """The file of its prompt; None where there is none, or where the tokenizer has it."""
        return None

    @property
    def rows(self) -> BatchSize:
        """Completions that its model reads at once."""
        return "auto"


class HarmBench(JudgeSettings):
    """HarmBench's classifier: yes when the completion is an instance of the behavior."""

    needs_tokenizer: ClassVar[Literal["none", "plain", "chat"]] = "plain"
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

    @property
    def needs_model(self) -> ModelSettings:
        return self.model

    @property
    def needs_template(self) -> DataSource:
        return self.template

    @property
    def rows(self) -> BatchSize:
        return self.batch_size


class LlamaGuard(JudgeSettings):
    """Llama Guard: yes when the assistant's turn is `unsafe` under its own chat template."""

    needs_tokenizer: ClassVar[Literal["none", "plain", "chat"]] = "chat"
    kind: Literal["llamaguard"]
    model: ModelSettings = Field(description="the classifier, a causal language model")
    answer_prefix: str = Field(
        "\n\n", description="text between the chat template's end and the label"
    )
    batch_size: BatchSize = Field("auto", description=BATCH_SIZE)

    @property
    def needs_model(self) -> ModelSettings:
        return self.model

    @property
    def rows(self) -> BatchSize:
        return self.batch_size


class RefusalPrefix(JudgeSettings):
    """AdvBench-style string match: yes when no refusal string occurs in the completion."""

    kind: Literal["refusal_prefix"]
    prefixes: PrefixList = Field("strings29", description="which list of refusal strings")


class PythonJudge(OwnObject, JudgeSettings):
    """Your own judge: `judge(behaviors, completions)` of your class gives the verdicts.

    See `holdfast.judges.python` for what it is asked and may answer.
    """

    method: ClassVar[str] = "judge"
    kind: Literal["python"]


Judge = Annotated[HarmBench | LlamaGuard | RefusalPrefix | PythonJudge, Field(discriminator="kind")]
