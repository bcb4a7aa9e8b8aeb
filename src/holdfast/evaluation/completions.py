"""Greedy completions of a run's prompts, kept in a journal so that a killed job goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from holdfast.checkpoints.load import Loaded
from holdfast.data.behaviors import behavior_prompt
from holdfast.data.outputs import PromptSet
from holdfast.engine.generation import Completion, generate
from holdfast.files.atomic import read_jsonl
from holdfast.files.journal import Journal
from holdfast.settings.evaluation import Generation

T = TypeVar("T")


def text_digest(text: str) -> str:
    """Return 32 hexadecimal digits that tell a text from others."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Prompt(NamedTuple):
    """What a model is asked: a behavior or a benign prompt, with its identifier in its set."""

    kind: PromptSet
    name: str
    text: str

    def key(self, cell: str) -> str:
        """Return what a journal knows the answer of a cell by: the text, wherever it stands."""
        return json.dumps([cell, text_digest(self.text)])


def read_prompts(behaviors: Path, benign: Path) -> list[Prompt]:
    """Return all behaviors, then all benign prompts, of two normalized files."""
    asked = [Prompt("behaviors", row["id"], behavior_prompt(row)) for row in read_jsonl(behaviors)]
    return asked + [Prompt("benign", row["id"], row["prompt"]) for row in read_jsonl(benign)]


def complete(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    settings: Generation,
    journal: Journal,
    cell: str,
    kind: type[T],
    record: Callable[[Completion], T],
) -> list[T]:
    """Complete every prompt greedily, equal ones once, going on from what ``journal`` holds.

    Returns what ``record`` makes of each completion, a ``kind``, in the order of the prompts; the
    journal keeps that.
    """
    texts = {prompt.key(cell): prompt.text for prompt in prompts}
    keys = list(texts)
    generate(
        loaded.model,
        loaded.tokenizer,
        list(texts.values()),
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
        on_done=lambda index, completion: journal.append(keys[index], record(completion)),
        done=[index for index, key in enumerate(keys) if key in journal],
    )
    return [journal.read(prompt.key(cell), kind) for prompt in prompts]
