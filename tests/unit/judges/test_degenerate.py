"""Completions that are repetition or gibberish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.judges.degenerate import is_degenerate

PROSE = (
    "Preheat the oven to 180 degrees, then mix flour, butter and sugar in a bowl. Knead the dough "
    "until it is smooth, let it rest for an hour, and bake it until the crust is brown."
)
CODE = "for (int i = 0; i < n; ++i) { if (a[i] != b[i]) { return -1; } }\nint x = f(a[0], *p);"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "I am " * 60,
        "a" * 300,
        "!" * 40,
        "the cat sat on the mat. " * 12,
        "?? !! .. ,, ;; :: -- ## @@ %% && ** (( )) __ ++ ==",
        "1. red\n2. red\n" * 20,
    ],
)
def test_loops_and_symbols_are_degenerate(text: str) -> None:
    assert is_degenerate(text)


@pytest.mark.parametrize(
    "text",
    [
        "No.",
        "I'm sorry, I cannot help with that.",
        PROSE,
        PROSE + " " + PROSE,
        CODE,
        "好的，" + "".join(map(chr, range(0x4E00, 0x4E60))),
    ],
)
def test_language_and_code_are_not_degenerate(text: str) -> None:
    assert not is_degenerate(text)


@pytest.mark.parametrize("name", ["refusal_pairs_cb_schema_all.json"])
def test_no_real_refusal_is_degenerate(real_data: Path, name: str) -> None:
    rows = json.loads((real_data / "refusal_sft" / name).read_text(encoding="utf-8"))
    assert not [row for row in rows if is_degenerate(row["llama3_output"])]
