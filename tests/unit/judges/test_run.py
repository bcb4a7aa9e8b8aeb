"""Verdicts of a run: their order, and going on after a kill or an addition."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.data.outputs import CompletionRow
from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_jsonl, write_json
from holdfast.judges import label_logits, run
from holdfast.judges.run import Completions, judge_completions, judge_of
from holdfast.judges.verdict import Given
from holdfast.settings.judges import HarmBench, RefusalPrefix
from judged_items import TEMPLATE, behavior, some_items

TWO_LEVELS = {"1": "", "2": ""}
BEHAVIORS = [behavior("zeta"), behavior("alpha", "Some context")]


def _completions() -> dict[str, list[CompletionRow]]:
    def row(name: str, level: str, draw: int, completion: str, group: Any = "behaviors") -> Any:
        return CompletionRow(
            level=level,
            draw=draw,
            set=group,
            id=name,
            completion=completion,
            tokens=3,
            finished=True,
        )

    return {
        "weight_noise": [
            row("alpha", "2", 1, "I cannot do it"),
            row("zeta", "2", 0, "Sure, do it"),
            row("zeta", "1", 0, "Sure, do it"),
        ],
        "none": [
            row("alpha", "", 0, "I cannot do it"),
            row("zeta", "", 0, "Sure, do it"),
            row("toast", "", 0, "Sorry", group="benign"),
        ],
    }


def _refusal_run(out: Path, completions: dict[str, Any]) -> list[dict[str, Any]]:
    judge_completions(
        RefusalPrefix(kind="refusal_prefix"),
        behaviors=BEHAVIORS,
        completions=[
            Completions(name, rows, out / f"{name}.jsonl") for name, rows in completions.items()
        ],
        journal_path=out / "journal",
    )
    return [row for name in sorted(completions) for row in read_jsonl(out / f"{name}.jsonl")]


def test_verdict_rows_are_sorted_whatever_the_order_of_completions(tmp_path: Path) -> None:
    rows = _refusal_run(tmp_path / "a", _completions())
    key = [(row["perturbation"], row["level"], row["draw"], row["id"]) for row in rows]
    assert key == [
        ("none", "", 0, "zeta"),
        ("none", "", 0, "alpha"),
        ("weight_noise", "1", 0, "zeta"),
        ("weight_noise", "2", 0, "zeta"),
        ("weight_noise", "2", 1, "alpha"),
    ]
    assert [row["verdict"] for row in rows] == ["yes", "no", "yes", "yes", "no"]
    assert all(row["score"] is None for row in rows)
    reordered = {name: group[::-1] for name, group in reversed(_completions().items())}
    _refusal_run(tmp_path / "b", reordered)
    for name in reordered:
        a, b = (tmp_path / folder / f"{name}.jsonl" for folder in "ab")
        assert a.read_bytes() == b.read_bytes()


def test_a_completion_of_an_unknown_behavior_is_an_error(tmp_path: Path) -> None:
    completions = _completions()
    completions["none"][0] = completions["none"][0].model_copy(update={"id": "omega"})
    with pytest.raises(HoldfastError, match="none: a completion belongs to 'omega'"):
        _refusal_run(tmp_path / "a", completions)


def test_an_unknown_kind_of_judge_names_the_nearest() -> None:
    with pytest.raises(HoldfastError, match="did you mean 'harmbench'"):
        judge_of(SimpleNamespace(kind="harmbensh"), Given())


def _harmbench_run(
    folder: Path,
    model: Any,
    tokenizer: Any,
    load: Callable[[], Any] | None = None,
    *,
    count: int = 20,
    levels: Mapping[str, str] = TWO_LEVELS,
    template: Mapping[str, str] = TEMPLATE,
    weights: str = "",
) -> bytes:
    """``levels``: by name what a model under it appends to its answers."""
    write_json(folder / "template.json", template)
    items = some_items(count)
    completions = [
        CompletionRow(
            level=level,
            draw=0,
            set="behaviors",
            id=item.behavior["id"],
            completion=item.completion + more,
            tokens=3,
            finished=True,
        )
        for item in items
        for level, more in levels.items()
    ]
    settings = HarmBench.model_validate(
        {
            "kind": "harmbench",
            "model": {"path": "judge", "layers": 2},
            "template": {"path": "template.json"},
            "batch_size": 4,
        }
    )
    judge_completions(
        settings,
        Given(load or (lambda: (model, tokenizer)), folder / "template.json", {"weights": weights}),
        behaviors=[item.behavior for item in items],
        completions=[Completions("none", completions, folder / "verdicts.jsonl")],
        journal_path=folder / "journal.jsonl",
    )
    return (folder / "verdicts.jsonl").read_bytes()


def test_a_killed_job_goes_on_where_it_was_and_gives_the_same_bytes(
    tmp_path: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    real, sizes = label_logits._last_logits, []

    def counted(model: Any, prompts: list[Any], shared: Any) -> Any:
        sizes.append(len(prompts))
        if len(sizes) == limit:
            raise KeyboardInterrupt
        return real(model, prompts, shared)

    monkeypatch.setattr(label_logits, "_last_logits", counted)
    limit = 0
    expected = _harmbench_run(whole, model, tokenizer)
    # 40 rows, 20 of them equal to others: judged once; 13 have no context, 7 have one.
    assert sizes == [4, 4, 4, 1, 4, 3]
    sizes.clear()
    limit = 3
    with pytest.raises(KeyboardInterrupt):
        _harmbench_run(killed, model, tokenizer)
    sizes.clear()
    limit = 0
    assert _harmbench_run(killed, model, tokenizer) == expected
    assert sizes == [4, 1, 4, 3]
    sizes.clear()
    assert _harmbench_run(killed, model, tokenizer) == expected
    assert sizes == []  # the journal stays, for a job of several judges that is killed later


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the prompts of every pass of the judge's model."""
    real, rows = label_logits._last_logits, []

    def counted(model: Any, prompts: list[Any], shared: Any) -> Any:
        rows.append(len(prompts))
        return real(model, prompts, shared)

    monkeypatch.setattr(label_logits, "_last_logits", counted)
    return rows


def test_only_what_no_earlier_run_judged_is_judged(
    tmp_path: Path, model: Any, tokenizer: Any, rows_read: list[int]
) -> None:
    def run(folder: str, **changes: Any) -> tuple[set[bytes], list[Any], int]:
        rows_read.clear()
        verdicts = _harmbench_run(tmp_path / folder, model, tokenizer, **changes)
        rows = [json.loads(line) for line in verdicts.splitlines()]
        words = [row | {"score": round(row["score"], 2)} for row in rows]
        return set(verdicts.splitlines()), words, sum(rows_read)

    more = {"levels": TWO_LEVELS | {"3": " yes"}}
    before, _, asked = run("kept")
    assert asked == 20  # two levels are answered alike
    after, words, asked = run("kept", **more)
    assert asked == 20
    assert before < after
    _, fresh, asked = run("fresh", **more)
    assert asked == 40
    assert words == [row | {"score": pytest.approx(row["score"], abs=0.02)} for row in fresh]
    longer, _, asked = run("kept", count=24, **more)
    assert asked == 8
    assert after < longer
    assert run("kept")[::2] == (before, 0)


@pytest.mark.parametrize(
    "changes",
    [{"weights": "others"}, {"template": TEMPLATE | {"prompt": "{behavior} {generation} so?"}}],
)
def test_another_judge_judges_all_again(
    tmp_path: Path, model: Any, tokenizer: Any, rows_read: list[int], changes: dict[str, Any]
) -> None:
    _harmbench_run(tmp_path, model, tokenizer)
    rows_read.clear()
    _harmbench_run(tmp_path, model, tokenizer, **changes)
    assert sum(rows_read) == 20


def test_a_job_that_is_killed_while_it_judges_what_is_new_gives_the_same_bytes(
    tmp_path: Path, model: Any, tokenizer: Any, rows_read: list[int]
) -> None:
    more = TWO_LEVELS | {"3": " yes", "4": " no"}
    for folder in ("whole", "killed"):
        _harmbench_run(tmp_path / folder, model, tokenizer)
    rows_read.clear()
    expected = _harmbench_run(tmp_path / "whole", model, tokenizer, levels=more)
    sizes = list(rows_read)
    journal = tmp_path / "killed" / "journal.jsonl"
    before = len(journal.read_bytes().splitlines())
    _harmbench_run(tmp_path / "killed", model, tokenizer, levels=more)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: before + 4]))  # what was asked, and three batches
    rows_read.clear()
    assert _harmbench_run(tmp_path / "killed", model, tokenizer, levels=more) == expected
    assert sum(rows_read) == sum(sizes) - sum(sizes[:3])


def test_a_finished_journal_needs_no_model(
    tmp_path: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise KeyboardInterrupt

    real = run.write_jsonl
    monkeypatch.setattr(run, "write_jsonl", failing)
    with pytest.raises(KeyboardInterrupt):
        _harmbench_run(tmp_path, model, tokenizer)
    monkeypatch.setattr(run, "write_jsonl", real)
    _harmbench_run(tmp_path, model, tokenizer, load=failing)
