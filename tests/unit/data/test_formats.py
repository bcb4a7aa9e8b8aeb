"""Files as spreadsheets, editors and libraries write them: the same rows, or one sentence."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.formats import read_rows
from holdfast.data.prepare import load
from holdfast.data.templates import load_template
from holdfast.errors import HoldfastError
from holdfast.settings.data import DataSource

PAIR = {"prompt": "a", "response": "b"}
LINE = json.dumps(PAIR)
HEADER = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"
LONG = "word " * 30_000
READ: dict[str, tuple[str, bytes, list[Any]]] = {
    "mark in CSV": ("a.csv", b"\xef\xbb\xbfp,q\na,b\n", [{"p": "a", "q": "b"}]),
    "mark in JSON": ("a.json", b"\xef\xbb\xbf" + f"[{LINE}]".encode(), [PAIR]),
    "mark in JSON lines": ("a.jsonl", b"\xef\xbb\xbf" + LINE.encode(), [PAIR]),
    "UTF-16 JSON": ("a.json", f"[{LINE}]".encode("utf-16"), [PAIR]),
    "UTF-16 CSV of Excel": ("a.csv", "p\tq\r\né\tb\r\n".encode("utf-16"), [{"p": "é", "q": "b"}]),
    "UTF-32 JSON lines": ("a.jsonl", LINE.encode("utf-32"), [PAIR]),
    "blank line in the middle": ("a.jsonl", f"{LINE}\n\n \t\n{LINE}\n".encode(), [PAIR] * 2),
    "blank lines at the end": ("a.jsonl", f"{LINE}\n\n\n".encode(), [PAIR]),
    "blank line at the start": ("a.jsonl", f"\n{LINE}\n{LINE}\n".encode(), [PAIR] * 2),
    "CR": ("a.csv", b"p,q\ra,b\r", [{"p": "a", "q": "b"}]),
    "CRLF": ("a.csv", b"p,q\r\na,b\r\n", [{"p": "a", "q": "b"}]),
    "CRLF in JSON lines": ("a.jsonl", f"{LINE}\r\n{LINE}\r\n".encode(), [PAIR] * 2),
    "CR in JSON lines": ("a.jsonl", f"{LINE}\r{LINE}\r".encode(), [PAIR] * 2),
    "NEL": ("a.jsonl", '{"p": "a\x85b"}\n{"p": "c"}'.encode(), [{"p": "a\x85b"}, {"p": "c"}]),
    "U+2028": ("a.jsonl", '{"p": "a\u2028b"}\n'.encode(), [{"p": "a\u2028b"}]),
    "U+2028 in CSV": ("a.csv", "p\na\u2028b\n".encode(), [{"p": "a\u2028b"}]),
    "long cell": ("a.csv", f"p,q\n{LONG},b\n".encode(), [{"p": LONG, "q": "b"}]),
    "gzip": ("a.csv.gz", gzip.compress(b"p,q\na,b\n"), [{"p": "a", "q": "b"}]),
    "gzip of lines": ("a.JSONL.GZ", gzip.compress(LINE.encode()), [PAIR]),
    "tabs": ("a.tsv", b"p\tq\na,c\tb\n", [{"p": "a,c", "q": "b"}]),
    "tabs in .csv": ("a.csv", b"p\tq\na,c\tb\n", [{"p": "a,c", "q": "b"}]),
    "commas in .tsv": ("a.tsv", b"p,q\na\tc,b\n", [{"p": "a\tc", "q": "b"}]),
    "semicolons": ("a.csv", b'p;q\n"a;1";b\n', [{"p": "a;1", "q": "b"}]),
    "semicolons in cells": ("a.csv", b"p,q\na;1,b;2\n", [{"p": "a;1", "q": "b;2"}]),
    "one column": ("a.csv", b"p\na;1\tx\n", [{"p": "a;1\tx"}]),
    "upper-case suffix": ("A.CSV", b"p,q\na,b\n", [{"p": "a", "q": "b"}]),
    "index of pandas": ("a.csv", b",goal,target\n0,a,b\n", [{"goal": "a", "target": "b"}]),
    "empty columns of Excel": ("a.csv", b"p,q,,\na,b,,\nc,d,,\n", [
        {"p": "a", "q": "b"}, {"p": "c", "q": "d"}
    ]),
    "blank line in CSV": ("a.csv", b"\np,q\n\na,b\n\n", [{"p": "a", "q": "b"}]),
    "line end in a cell": ("a.csv", b'p,q\n"a\r\n1",b\n', [{"p": "a\r\n1", "q": "b"}]),
    "lines named .json": ("a.json", f"{LINE}\n{LINE}\n".encode(), [PAIR] * 2),
    "list named .jsonl": ("a.jsonl", json.dumps([PAIR] * 2, indent=1).encode(), [PAIR] * 2),
    "wrapped": ("a.json", json.dumps({"version": 1, "data": [PAIR]}, indent=1).encode(), [PAIR]),
    "null": ("a.jsonl", b'{"p": "a", "x": null}', [{"p": "a", "x": None}]),
    "one line": ("a.jsonl", b'{"messages": [{"role": "x"}]}', [{"messages": [{"role": "x"}]}]),
    "strings": ("a.json", b'["", "a"]', [{"text": ""}, {"text": "a"}]),
    "strings a line": ("a.jsonl", b'"a"\n"b"\n', [{"text": "a"}, {"text": "b"}]),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_file_is_read_rightly(tmp_path: Path, case: str) -> None:
    name, content, rows = READ[case]
    path = tmp_path / name
    path.write_bytes(content)
    assert read_rows(path) == rows


REFUSED = {
    "gzip cut off": ("a.csv.gz", b"\x1f\x8b", "cut off or no gzip file; copy or download"),
    "gzip by name alone": ("a.json.gz", b"[]", "no gzip file"),
    "UTF-16 without its mark": ("a.csv", "p,q\na,b\n".encode("utf-16-le"), "NUL .* save it as UTF"),
    "UTF-16 cut off": ("a.json", b"\xff\xfe[", "not text in UTF-16"),
    "columns": ("a.json", b'{"p": {"0": "a"}}', r"one object \(p\), .* `orient=\"records\"`"),
    "NaN": ("a.jsonl", f'{LINE}\n{{"s": NaN}}'.encode(), r"row 2 holds .* \(nan in column s\)"),
    "bad line": ("a.jsonl", f"{LINE}\n\n{{\n".encode(), "line 3 is not valid JSON .*; correct it"),
    "bad list": ("a.json", f"[{LINE},\n}}".encode(), "not valid JSON .*line 2.*; correct it"),
    "empty": ("a.jsonl", b"\n\n", "holds no rows"),
    "no name": ("a.csv", b"p,\na,\nb,c\n", "row 2 has text in a column without a name; name it"),
    "short row": ("a.csv", b"p,q\na,b\nc\n", "row 2 has more or fewer cells than the header"),
    "folder": ("folder.csv", None, "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    name, content, complaint = REFUSED[case]
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(HoldfastError, match=complaint) as told:
        read_rows(path)
    assert str(told.value).startswith(str(path))
    assert "delete" not in str(told.value)


def test_the_limit_of_other_readers_of_csv_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"p\n{LONG}\n")
    before = csv.field_size_limit()
    read_rows(path)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("kind", ["behaviors", "pairs", "prompts", "texts", "documents"])
@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet", "csv.gz"])
def test_nobody_is_told_to_delete_a_file_of_theirs(tmp_path: Path, kind: Any, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(b'{"a": [')
    with pytest.raises(HoldfastError) as told:
        load(
            kind,
            DataSource(path=f"a.{suffix}"),
            data_root=tmp_path,
            pocket_folder=tmp_path,
            cache_folder=tmp_path,
        )
    advice = str(told.value).replace(str(tmp_path), "")
    assert not re.search("delete|run its stage", advice)


def test_a_template_with_a_mark_is_read_and_a_broken_one_is_not_to_be_deleted(
    tmp_path: Path,
) -> None:
    template = {"prompt": "{behavior} {generation}"}
    template |= {"prompt_contextual": "{context} {behavior} {generation}"}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(template), encoding="utf-8-sig")
    assert load_template(path) == template
    path.write_text("{")
    with pytest.raises(HoldfastError, match=r"not valid JSON .*; correct it"):
        load_template(path)


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5)
values = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")
    | st.sampled_from(' "\n\x85;')
)
tables = st.lists(names, min_size=2, max_size=4, unique=True).flatmap(
    lambda header: st.lists(
        st.fixed_dictionaries(dict.fromkeys(header, values)), min_size=1, max_size=4
    )
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    rows=tables,
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    form=st.sampled_from(["csv", ";", "\t", "json", "jsonl", "lines as json", "list as jsonl"]),
    blank=st.booleans(),
    packed=st.booleans(),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    encoding: str,
    end: str,
    form: str,
    blank: bool,
    packed: bool,
) -> None:
    if form in ("csv", ";", "\t"):
        suffix, file = "csv", io.StringIO(newline="")
        writer = csv.DictWriter(
            file,
            list(rows[0]),
            delimiter=form if form != "csv" else ",",
            lineterminator=end,
            quoting=csv.QUOTE_ALL,
        )
        writer.writeheader()
        writer.writerows(rows)
        text = file.getvalue()
    elif form in ("json", "list as jsonl"):
        suffix = form.rpartition(" ")[2]
        text = json.dumps(rows, indent=1, ensure_ascii=False).replace("\n", end)
    else:
        suffix = form.rpartition(" ")[2]
        rows = rows if suffix == "jsonl" else rows * 2  # one line alone is one object
        between = end * (1 + blank)
        text = "".join(json.dumps(row, ensure_ascii=False) + between for row in rows)
    content = text.encode(encoding)
    path = tmp_path_factory.mktemp("table") / f"a.{suffix}{'.gz' * packed}"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read_rows(path) == rows
