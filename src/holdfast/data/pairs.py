"""Training pairs: a prompt and the response to learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.data.conversations import exchange, turn
from holdfast.data.formats import Row, read_rows
from holdfast.data.layouts import known_names
from holdfast.data.marks import ANSWER_MARK, marked_safe
from holdfast.data.tables import columns_of, kept, sample, select
from holdfast.errors import HoldfastError

NAMES = {
    "prompt": ("prompt",),
    "response": ("llama3_output", "response"),
    "context": (),  # Alpaca's `input`, Dolly's `context`
}
CONVERSATION = {"messages": ("messages", "conversations")}
REFUSAL, HARMFUL = "llama3_output", "output"


def load_pairs(
    path: Path,
    columns: Mapping[str, str],
    limit: int | None = None,
    seed: int = 0,
    *,
    unsafe: bool = False,
) -> list[Row]:
    """Return rows ``{"prompt", "response"}`` of a file in the circuit-breakers schema, or similar.

    A ``context``, where ``columns`` name one, follows the prompt after an empty line. The response
    is the refusal ``llama3_output``. The column ``output`` beside it is the harmful completion: it
    is never loaded. A conversation (``messages``) is a pair where it is one question and its
    answer; others are left out and counted. So are rows with ``is_safe: false``, which are no
    answers to learn, unless ``unsafe`` ones are wanted.

    Raises:
        HoldfastError: missing columns, empty texts, or fewer rows than ``limit``, of which that
            many are drawn by ``seed``.
    """
    raw = read_rows(path)
    given = columns_of(raw)
    if REFUSAL in given:
        if HARMFUL in columns.values():
            raise HoldfastError(
                f"columns: in {path} `{HARMFUL}` is the harmful completion and is never loaded; "
                f"use `{REFUSAL}`"
            )
        raw = [{name: row[name] for name in row if name != HARMFUL} for row in raw]
        given = columns_of(raw)
    read = _exchanges if _converses(given, columns) else _answers
    pairs = list(enumerate(read(path, raw, columns), start=1))
    single = [pair is not None for _, pair in pairs]
    pairs = kept(path, pairs, single, "is not one question of a user and its answer")
    if not unsafe:
        safe = [marked_safe(path, number, raw[number - 1]) for number, _ in pairs]
        pairs = kept(path, pairs, safe, f"is marked unsafe (`{ANSWER_MARK}`)")
    return sample([pair for _, pair in pairs if pair], limit, seed, path)


def _answers(path: Path, raw: Sequence[Row], columns: Mapping[str, str]) -> Iterator[Row]:
    may_lack = ("context",)
    rows = select(path, raw, NAMES, columns, may_lack, blank=may_lack, kind="pairs")
    for number, row in enumerate(rows, start=1):
        yield _pair(path, number, row["prompt"], row["response"], row.get("context", ""))


def _exchanges(path: Path, raw: Sequence[Row], columns: Mapping[str, str]) -> Iterator[Row | None]:
    for number, row in enumerate(select(path, raw, CONVERSATION, columns, kind="pairs"), start=1):
        pair = exchange(path, number, row["messages"])
        yield _pair(path, number, *pair) if pair else None


def _converses(given: Sequence[str], columns: Mapping[str, str]) -> bool:
    if columns:
        return "messages" in columns
    if known := known_names(given, "pairs"):
        return "messages" in known
    usual = {name for names in NAMES.values() for name in names}
    return not usual.intersection(given) and any(name in given for name in CONVERSATION["messages"])


def _pair(path: Path, number: int, prompt: Any, response: Any, context: Any = "") -> Row:
    row = {"prompt": turn(prompt, "user"), "response": turn(response, "assistant")}
    for name, value in row.items():
        if not isinstance(value, str) or not value.strip():
            raise HoldfastError(
                f"{path}, row {number} has no text for the {name}; give it one, or take the row out"
            )
    if not isinstance(context, str):
        raise HoldfastError(f"{path}, row {number}: its context is no text: {context!r:.60}")
    if context.strip():
        row["prompt"] = f"{row['prompt']}\n\n{context.strip()}"
    return row
