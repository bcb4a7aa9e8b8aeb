"""Published numbers: typed as printed, read, and compared at their printed precision."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.config import published
from holdfast.config.published import (
    FIELDS,
    FOLDER,
    Printed,
    place,
    read,
)
from holdfast.errors import HoldfastError
from holdfast.settings.published import Published
from places import ROOT

TABLES = {1: 50, 2: 60, 3: 4, 4: 18, 6: 95, 7: 150, 8: 135, 9: 120}
METRICS = ["PPL", "lm-eval", "HarmBench ASR", "LlamaGuard3 ASR", "AdvBench ASR"]
Row = dict[str, str]


def rows(number: int) -> list[Row]:
    with (FOLDER / f"table{number}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---- the paper's text, read independently of the files -------------------------------------------


@pytest.fixture(scope="module")
def paper() -> str:
    path = Path(
        os.environ.get(
            "HOLDFAST_PAPER", ROOT.parent / "shared" / "paper" / "aligned-but-fragile.txt"
        )
    )
    if not path.is_file():
        pytest.skip(f"no text of the paper at {path}: set HOLDFAST_PAPER")
    text = path.read_text(encoding="utf-8")
    for command, symbol in (("up", "↑"), ("down", "↓"), ("right", "→")):
        text = text.replace(f"\\{command}arrow", symbol)
    return text.replace("\\cellcolorteal!10", "").replace("\\times", "")


def printed_lines(paper: str, number: int) -> list[str]:
    """The lines of a table, below its caption."""
    (body,) = re.findall(rf"^Table {number}: .*\n((?:(?!Table ).+\n?)*)", paper, re.M)
    return str(body).splitlines()


def printed_rows(paper: str, number: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """The rows of Tables 1, 2 and 4 to 9: a label, and the (value, change) pairs after it."""
    pair = r"(\d+\.\d{4})(?: \(([↑↓→]\d+\.\d{4})\))?"
    found = []
    for line in printed_lines(paper, number):
        if cells := re.findall(pair, line):
            label = re.sub(r"\\\w+=\S+", "", line[: re.search(pair, line).start()])  # type: ignore[union-attr]
            found.append((label.strip(), cells))
    return found


def expected(paper: str, number: int) -> list[tuple[tuple[str, ...], str, str]]:
    """(label words, value, change) of every printed cell, in the order of the file's rows."""
    if number == 3:
        value = r"([\d.]+)(?: s| MiB) ([\d.]+)(?: s| MiB) \(([\d.]+×)\)"
        found = re.findall(value, "\n".join(printed_lines(paper, 3)))
        return [
            cell
            for name, (first, second, ratio) in zip(("runtime", "peak"), found, strict=True)
            for cell in (((name, "fo"), first, ""), ((name, "zo"), second, ratio))
        ]
    if number == 4:
        columns = ("w4a16", "w4a4", "σ=1", "σ=2", "α=0.05", "α=0.08")
        header = " ".join(printed_lines(paper, 4)[:2]).lower()
        header = re.sub(r"\\boldsymbol\{\\(sigma|alpha)=([\d.]+)\}", r"\1=\2 ", header)
        header = header.replace("sigma", "σ").replace("alpha", "α")
        assert tuple(re.findall(r"w4a\d+|[σα]=[\d.]+", header)) == columns
        return [
            ((label.lower().split()[0], column), value, change)
            for label, cells in printed_rows(paper, 4)
            for column, (value, change) in zip(columns, cells, strict=True)
        ]
    return [
        ((*label.lower().split(), metric), value, change)
        for label, cells in printed_rows(paper, number)
        for metric, (value, change) in zip(METRICS, cells, strict=True)
    ]


def described(number: int, row: Row) -> tuple[tuple[str, ...], str, str]:
    """A file's row in the words of the paper's text."""
    symbol = {"Weight noise": "σ=", "Activation noise": "α="}.get(row["perturbation"], "")
    level, words = (symbol + row["level"]).lower(), row["perturbation"].lower().split()
    if number == 3:
        label: tuple[str, ...] = (row["metric"].lower().split()[0], row["section"].lower())
    elif number == 4:
        label = (row["metric"].lower().split()[0], level)
    else:
        if row["section"] == "SFT":  # Tables 6 and 8 leave its symbols out
            level = level.removeprefix(symbol)
        method = [] if number < 6 else row["section"].lower().split()
        names = [] if row["perturbation"] == "Unperturbed" else [*words, level]
        if number == 1 and not names:
            method = ["original"]
        label = (*method, *names, row["metric"])
    return label, row["value"], row["change"]


@pytest.mark.parametrize("number", TABLES)
def test_every_cell_is_as_the_paper_prints_it(paper: str, number: int) -> None:
    assert [described(number, row) for row in rows(number)] == expected(paper, number)


@pytest.mark.parametrize("number", TABLES)
def test_a_single_wrong_digit_is_seen(paper: str, number: int) -> None:
    right = expected(paper, number)
    mutants = 0
    for index, row in enumerate(rows(number)):
        for field in ("value", "change"):
            for at, symbol in enumerate(row[field]):
                if symbol.isdigit():
                    wrong = row[field][:at] + str((int(symbol) + 1) % 10) + row[field][at + 1 :]
                    assert described(number, {**row, field: wrong}) != right[index]
                    mutants += 1
    assert mutants > 4 * len(right)


@pytest.mark.parametrize("number", [2, 6, 7, 8, 9])
def test_titles_of_sections_stand_where_the_files_put_them(paper: str, number: int) -> None:
    words = {
        "Stage I": "Stage I:", "Stage II": "Stage II:", "SFT": "After 100-step SFT",
        "SFT + ZO": "After 100-step SFT + 10-step", "SNIP + ZO": "with SNIP",
        "WANDA + ZO": "with WANDA", "Robust + ZO": "with robustness-aware",
    }  # fmt: skip
    lines = printed_lines(paper, number)
    titled = [line for line in lines if not re.search(r"\d\.\d{4}", line)][1:]
    sections = list(dict.fromkeys(row["section"] for row in rows(number)))
    sections = [name for name in sections if name != "Original" or number == 8]
    for section, title in zip(sections, titled, strict=True):
        assert words.get(section, section) in title
        first = next(i for i, row in enumerate(rows(number)) if row["section"] == section)
        values = [row["value"] for row in rows(number)[first : first + 5]]
        assert " ".join(values) in re.sub(r" \([↑↓→][\d.]+\)", "", lines[lines.index(title) + 1])


# ---- without the paper: the numbers agree with each other ---------------------------------------


@pytest.mark.parametrize("number", TABLES)
def test_files_have_the_papers_cells(number: int) -> None:
    assert tuple(rows(number)[0]) == FIELDS
    assert len(rows(number)) == len(read(f"table{number}")) == TABLES[number]
    model = "Qwen2-7B-Instruct" if number > 7 else "Llama-3-8B-Instruct"
    assert {row["model"] for row in rows(number)} == {model}


def values(number: int) -> dict[tuple[str, ...], Decimal]:
    """Values by (section, perturbation, level, metric)."""
    return {
        tuple(row[field] for field in FIELDS[1:5]): Decimal(row["value"]) for row in rows(number)
    }


def reference(number: int, key: tuple[str, ...]) -> Decimal | None:
    """What a printed change is against."""
    if number == 1:
        return values(1)["Original", "Unperturbed", "", key[3]]
    if number == 2 and key[0] == "Stage I":
        return values(1)["Original", *key[1:]]
    source, section = (2, "Stage I") if number == 2 else (8 if number == 8 else 6, "SFT")
    return values(source).get((section, *key[1:]))


@pytest.mark.parametrize("number", [1, 2, 4, 6, 8])
def test_changes_are_the_differences_of_the_values(number: int) -> None:
    checked = 0
    for row in rows(number):
        key = tuple(row[field] for field in FIELDS[1:5])
        before = reference(number, key)
        if not row["change"] or before is None:
            continue
        difference, (arrow, *digits) = Decimal(row["value"]) - before, row["change"]
        assert abs(abs(difference) - Decimal("".join(digits))) <= Decimal("0.0001"), row
        if number < 6 and abs(difference) > Decimal("0.0001"):
            assert arrow == ("↑" if difference > 0 else "↓"), row
        checked += 1
    assert checked == {1: 45, 2: 60, 4: 15, 6: 45, 8: 45}[number]


@pytest.mark.parametrize("number", [1, 2, 4, 6, 7, 8, 9])
def test_every_asr_is_a_share_of_300_behaviors_and_up_to_4_draws(number: int) -> None:
    for row in rows(number):
        if row["metric"].endswith("ASR"):
            value = Decimal(row["value"])
            shares = (round(value * n) / Decimal(n) for n in (300, 600, 900, 1200))
            assert any(abs(share - value) <= Decimal("0.00005") for share in shares), row


# ---- the arithmetic of a comparison -------------------------------------------------------------


@given(
    st.decimals(min_value=0, max_value=5000, allow_nan=False, places=9),
    st.integers(1, 5),
    st.sampled_from([ROUND_HALF_EVEN, ROUND_HALF_UP]),
)
def test_what_rounds_to_the_printed_number_is_inside(
    value: Decimal, places: int, rounding: str
) -> None:
    text = str(value.quantize(Decimal(1).scaleb(-places), rounding=rounding))
    low = float(value) * (1 - 1e-12)  # a value between two floats is in neither
    assert Printed(text).within(low, float(value) * (1 + 1e-12)) is True


@given(
    st.decimals(min_value=0, max_value=2, places=4),
    st.decimals(min_value=0, max_value=2, places=6),
    st.decimals(min_value=0, max_value=1, places=6),
)
def test_inside_is_overlap_with_the_printed_range(
    printed: Decimal, low: Decimal, width: Decimal
) -> None:
    half = Decimal("0.00005")
    high = low + width
    if min(abs(printed + half - low), abs(high + half - printed)) < Decimal("1e-9"):
        return  # floats cannot hold a decimal edge; exact edges are tested below
    inside = low <= printed + half and printed - half <= high
    assert Printed(str(printed)).within(float(low), float(high)) is inside


@pytest.mark.parametrize(
    ("text", "low", "high", "inside"),
    [
        ("2", 1.0, 1.5, True),  # the edge itself is inside
        ("2", 1.0, 1.4999999999999998, False),
        ("2", 2.5, 3.0, True),
        ("2", 2.5000000000000004, 3.0, False),
        ("2.0", 1.0, 1.5, False),  # a printed zero counts as a place
        ("0.1067", 0.10675000001, 0.2, False),
        ("0.1067", None, None, None),
        ("0.1067", float("nan"), float("nan"), None),
    ],
)
def test_edges(text: str, low: float | None, high: float | None, inside: bool | None) -> None:
    assert Printed(text).within(low, high) is inside


def test_units_are_converted() -> None:
    printed = Printed("82024", 2**20)
    assert printed.in_our_unit == str(82024 * 2**20)
    assert printed.difference(82025 * 2**20) == 2**20
    assert printed.within(82024.5 * 2**20, 9e10) is True
    assert printed.within(82024.5 * 2**20 + 1, 9e10) is False
    assert Printed("1146.8").in_our_unit == "1146.8"


# ---- the files ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    read.cache_clear()
    yield tmp_path
    read.cache_clear()


GOOD = "m,s,Weight noise,0.10,PPL,9.1,\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "published/other.csv: the columns must be model, section, perturbation, level"),
        (f"{GOOD}m,s,Weight noise,0.1,PPL,9.2,\n", "line 3: this cell is there twice"),
        ("m,s,None,,PPL,9.1 s,\n", "line 2: '9.1 s' is no number such as 0.1067"),
        ("m,s,None,,PPL,nan,\n", "line 2: 'nan' is no number"),
    ],
)
def test_a_broken_file_is_named(folder: Path, text: str, message: str) -> None:
    header = "" if text.startswith("a,b") else ",".join(FIELDS) + "\n"
    (folder / "other.csv").write_text(header + text)
    with pytest.raises(HoldfastError, match=re.escape(message)):
        read("other")


def test_another_papers_table_can_be_added(folder: Path) -> None:
    (folder / "other.csv").write_text(",".join(FIELDS) + "\n" + GOOD)
    assert read("other") == {("m", "s", "Weight noise", "0.1", "PPL"): "9.1"}
    names = Published(
        table="other",
        models={"a": "m"},
        arms={"b": "s"},
        perturbations={"c": "Weight noise"},
        levels={"c": {"strong": 0.1}},
        metrics={"perplexity": "PPL"},
    )
    assert place(names, "a", "b", "c", "strong", "perplexity") in read("other")
