"""A judge of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from holdfast.errors import HoldfastError
from holdfast.judges import python
from holdfast.judges.run import judge_of
from holdfast.judges.verdict import Given, Item, Verdict
from holdfast.settings.judges import Judge

SOURCE = """
from holdfast.judges.verdict import Verdict

class Longer:
    def __init__(self, than, answer=None):
        self.than, self.answer = than, answer

    def judge(self, behaviors, completions):
        if self.answer is not None:
            return self.answer
        assert [behavior.behavior for behavior in behaviors] == ["Do it"] * len(completions)
        longer = [len(text) > self.than for text in completions]
        return [Verdict("yes", 0.5) if yes else "no" for yes in longer]
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "longer.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "longer", raising=False)


def reader(**options: Any) -> Any:
    entry = {"kind": "python", "object": "longer:Longer", "options": options}
    return judge_of(TypeAdapter(Judge).validate_python(entry), Given())


def items(*texts: str) -> list[Item]:
    row = {"id": "a", "behavior": "Do it", "context": "", "tags": [], "category": ""}
    return [Item(row, text) for text in texts]


def test_it_is_asked_what_is_not_known_and_answers_in_words_or_verdicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(python, "ROWS", 2)
    verdicts: dict[int, Verdict] = {}
    known = {0: Verdict("no"), 1: Verdict("no")}
    reader(than=3).judge(items("long text", "a", "b", "other text"), verdicts.update, known)
    assert verdicts == {2: Verdict("no"), 3: Verdict("yes", 0.5)}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (["yes"], "gave 1 verdicts on 2 completions; return one for each"),
        (["yes", "maybe"], "answered 'maybe'; return a Verdict or one of yes, no, unparsed"),
        ([True, False], "answered True; return a Verdict or one of yes, no, unparsed"),
    ],
)
def test_an_answer_of_another_shape_is_one_sentence(answer: Any, sentence: str) -> None:
    with pytest.raises(HoldfastError, match=f"object: 'longer:Longer' {sentence}"):
        reader(than=3, answer=answer).judge(items("a", "b"), lambda _batch: None, {})
