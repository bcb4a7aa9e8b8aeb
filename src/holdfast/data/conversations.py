"""Conversations in a row's cell: lists of messages, and transcripts; here, of one exchange.

Lists are those of chat templates (``role``, ``content``) and of ShareGPT (``from``, ``value``);
transcripts are HH-RLHF's (``Human:``, ``Assistant:``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from holdfast.errors import HoldfastError

Role = Literal["user", "assistant"]

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
SPEAKER = re.compile(r"\n\n(Human|Assistant):")


class Turn(NamedTuple):
    """Who says what; the ``role`` of others than the two is as found."""

    role: str
    text: str


def turn(value: Any, role: Role) -> Any:
    """Return the text of a list that holds one message, of the ``role``; else ``value`` itself."""
    turns = _messages(value)
    return turns[0].text if turns and [entry.role for entry in turns] == [role] else value


def exchange(path: Path, number: int, value: Any) -> tuple[str, str] | None:
    """Return what the user asks and the assistant answers; None for any other course of turns.

    Raises:
        HoldfastError: the value is no conversation.
    """
    turns = _transcript(value) if isinstance(value, str) else _messages(value)
    if not turns:
        raise HoldfastError(
            f"{path}, row {number} holds no conversation ({value!r:.60}); give a list of messages"
            ' with "role" and "content"'
        )
    if [entry.role for entry in turns] != ["user", "assistant"]:
        return None
    return turns[0].text, turns[1].text


def _messages(value: Any) -> list[Turn]:
    """Return the turns of a list of messages; none where it is no such list."""
    turns = [_message(entry) for entry in value] if isinstance(value, Sequence) else []
    return [entry for entry in turns if entry] if all(turns) else []


def _message(entry: Any) -> Turn | None:
    if not isinstance(entry, Mapping):
        return None
    role, said = entry.get("role", entry.get("from")), entry.get("content", entry.get("value"))
    if not isinstance(role, str) or not isinstance(said, str):
        return None
    return Turn(ROLES.get(role, role), said)


def _transcript(value: str) -> list[Turn]:
    before, *parts = SPEAKER.split(value)
    if before.strip():
        return []
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [Turn(ROLES["human" if who == "Human" else "gpt"], said.strip()) for who, said in pairs]
