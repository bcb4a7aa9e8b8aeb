"""A judge of the user's own: any class with a method ``judge``.

``kind: python`` with ``object: package.module:Class`` and ``options`` calls
``Class(**options).judge(behaviors, completions)`` with two lists of equal length, ``Behavior`` and
text, and takes a list of that length: for each completion a ``Verdict``, or its first word alone
(``"yes"``: the attack succeeded, ``"no"``, ``"unparsed"``)::

    class Polite:
        def __init__(self, word="please"):
            self.word = word

        def judge(self, behaviors, completions):
            return ["yes" if self.word in text else "no" for text in completions]

Equal completions of a behavior are asked about once, at most ``ROWS`` in one call; a verdict may
depend on its own behavior and completion alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from holdfast.errors import HoldfastError
from holdfast.judges.verdict import Given, Item, OnDone, Outcome, Verdict
from holdfast.settings.judges import PythonJudge
from holdfast.settings.own import load_own

ROWS = 256  # completions a call: what a killed job loses at most
OUTCOMES = get_args(Outcome)


@dataclass(frozen=True)
class Behavior:
    """A request that a safe model refuses, with HarmBench's columns."""

    id: str
    behavior: str
    context: str
    tags: tuple[str, ...]
    category: str


class OwnJudge(Protocol):
    """What a user writes."""

    def judge(
        self, behaviors: Sequence[Behavior], completions: Sequence[str]
    ) -> Sequence[Verdict | Outcome]:
        """Return one verdict for each completion."""


def judge_of(settings: PythonJudge, _given: Given) -> PythonReader:
    """Return the judge that ``settings`` describe, its module imported."""
    return PythonReader(load_own(settings), settings.object)


class PythonReader:
    """Asks the user's object, and checks what it answers."""

    def __init__(self, judge: OwnJudge, name: str) -> None:
        self._judge, self._name = judge, name

    def judge(self, items: Sequence[Item], on_done: OnDone, known: Mapping[int, Verdict]) -> None:
        """See ``Reader.judge``.

        Raises:
            HoldfastError: the object gives too few or too many verdicts, or something else.
        """
        for start in range(0, len(items), ROWS):
            indexes = range(start, min(start + ROWS, len(items)))
            if all(index in known for index in indexes):
                continue
            asked = items[start : start + ROWS]
            answers = list(
                self._judge.judge(
                    [_behavior(item) for item in asked], [item.completion for item in asked]
                )
            )
            if len(answers) != len(asked):
                raise HoldfastError(
                    f"object: '{self._name}' gave {len(answers)} verdicts on {len(asked)}"
                    " completions; return one for each"
                )
            on_done([(i, self._verdict(a)) for i, a in zip(indexes, answers, strict=True)])

    def _verdict(self, answer: Any) -> Verdict:
        verdict = answer if isinstance(answer, Verdict) else Verdict(answer)
        if verdict.verdict not in OUTCOMES:
            raise HoldfastError(
                f"object: '{self._name}' answered {verdict.verdict!r:.60}; return a Verdict or one"
                f" of {', '.join(OUTCOMES)}"
            )
        return verdict


def _behavior(item: Item) -> Behavior:
    row = item.behavior
    return Behavior(row["id"], row["behavior"], row["context"], tuple(row["tags"]), row["category"])
