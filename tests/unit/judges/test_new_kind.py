"""A judge of a new kind is a settings class and a module of its name; nothing else knows kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dry_runs import dry_run, snakemake
from new_kinds import add_kind
from places import ROOT

SETTINGS = """
class Short(JudgeSettings):
    needs_tokenizer: ClassVar[Literal["none", "plain", "chat"]] = "plain"
    kind: Literal["short"]
    model: ModelSettings
    form: DataSource
    words: int = 3

    @property
    def needs_model(self):
        return self.model

    @property
    def needs_template(self):
        return self.form

Judge = Annotated[Judge.__origin__ | Short, Field(discriminator="kind")]
"""
MODULE = """
from holdfast.judges.verdict import Verdict

class ShortJudge:
    def __init__(self, words):
        self.words = words

    def judge(self, items, on_done, known):
        short = [len(item.completion.split()) <= self.words for item in items]
        on_done([(i, Verdict("yes" if yes else "no")) for i, yes in enumerate(short)])

def judge_of(settings, given):
    return ShortJudge(settings.words)
"""
OVERLAY = """
judges:
  short:
    kind: short
    model: {path: judge-model, layers: 2}
    form: {path: form.json}
"""
JUDGING = """
from types import SimpleNamespace
from holdfast.data.outputs import CompletionRow
from holdfast.judges.run import Completions, judge_completions
from holdfast.settings.judges import Short

row = {"id": "a", "behavior": "Do it", "context": "", "tags": [], "category": ""}
place = {"level": "", "draw": 0, "set": "behaviors", "id": "a"}
text = CompletionRow(**place, completion="no way", tokens=2, finished=True)
source = {"path": "p"}
judge_completions(
    Short(kind="short", model=source | {"layers": 2}, form=source),
    behaviors=[row],
    completions=[Completions("none", [text], "verdicts.jsonl")],
    journal_path="journal.jsonl",
)
print(open("verdicts.jsonl").read())
"""


def test_two_places_make_a_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_kind(tmp_path, monkeypatch, "judges", SETTINGS, short=MODULE)
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(OVERLAY, encoding="utf-8")
    (tmp_path / "judge-model").mkdir()
    (tmp_path / "form.json").write_text("{}", encoding="utf-8")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").symlink_to(ROOT / "config" / "config.yaml")
    configs = ["--configfile", str(ROOT / "config" / "config.yaml"), str(overlay)]
    without = dry_run(tmp_path, "table1")
    jobs = dry_run(tmp_path, "table1", *configs)
    assert jobs["judge_model"] == without["judge_model"] + 1
    assert jobs["data"] == without["data"] + 1
    assert len([rule for rule in jobs if rule.startswith("judge_")]) == 1 + len(
        [rule for rule in without if rule.startswith("judge_")]
    )
    asked = snakemake("-n", "-p", "--directory", str(tmp_path), "table1", *configs)
    assert "judges/short" in asked.stdout
    assert "data/template-short.json" in asked.stdout
    judged = subprocess.run(
        [sys.executable, "-c", JUDGING], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert '"verdict": "yes"' in judged.stdout, judged.stderr
