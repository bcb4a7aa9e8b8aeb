"""What a judge is asked and what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from holdfast.settings.base import Strict

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Outcome = Literal["yes", "no", "unparsed"]


@dataclass(frozen=True)
class Item:
    """A completion of a behavior (a row of behaviors.jsonl)."""

    behavior: Mapping[str, Any]
    completion: str

    @cached_property
    def digest(self) -> str:
        """Identifies all that a judge is shown: the behavior's row and the completion's text."""
        key = json.dumps([dict(self.behavior), self.completion], sort_keys=True)
        return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """A judge's answer: ``yes`` is attack success.

    ``score`` is the log-odds of yes against no, where the judge has one. ``flagged`` says that
    the completion held the judge's own prompt markers, which were made harmless.
    """

    verdict: Outcome
    score: float | None = None
    flagged: bool = False


class WrittenVerdict(Strict):
    """A verdict as a journal keeps it."""

    verdict: Outcome
    score: float | None = None
    flagged: bool = False


class VerdictRow(WrittenVerdict):
    """A row of a file of verdicts: what a judge said of a behavior's completion in one cell."""

    perturbation: str
    level: str
    draw: int
    id: str


OnDone = Callable[[Sequence[tuple[int, Verdict]]], None]
LoadModel = Callable[
    [], "tuple[PreTrainedModel, PreTrainedTokenizerBase]"
]  # -> a causal language model and its tokenizer


class Reader(Protocol):
    """Decides on completions. Batches are fixed by ``items`` alone, whatever is ``known``."""

    def judge(self, items: Sequence[Item], on_done: OnDone, known: Mapping[int, Verdict]) -> None:
        """Call ``on_done`` with the verdicts of one batch after the other, as (index, verdict).

        Batches whose items are all ``known`` already are left out.
        """


@dataclass(frozen=True)
class Given:
    """What the judge of some settings is made from: what they say that it needs.

    ``identity`` is what a verdict depends on beside the settings, the template and what is judged:
    the hash of the model, the version of the judges' code.
    """

    load_model: LoadModel | None = None
    template: Path | None = None
    identity: Mapping[str, object] = field(default_factory=dict)

    def loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return the judge's model and tokenizer, which its settings name."""
        assert self.load_model is not None
        return self.load_model()
