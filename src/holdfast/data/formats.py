"""Rows of a table as people have it: CSV, JSON, JSON lines or Parquet, from any editor or library.

The first bytes tell the encoding, the header a CSV's delimiter, and the first line whether a JSON
file holds lines: names of files are often wrong about all three.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError

Row = dict[str, Any]

MARKS = {  # a longer one first: the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
DELIMITERS = {".csv": ",;\t", ".tsv": "\t,;"}
JSON = (".json", ".jsonl")
PARQUET = ".parquet"
SUFFIXES = (*DELIMITERS, *JSON, PARQUET)
GZIP = ".gz"
WRAPPERS = ("data", "rows", "examples", "instances")  # keys that a list of rows is kept under


def read_rows(path: str | Path) -> list[Row]:
    """Read a table; bare strings in a JSON list become rows with the one column ``text``.

    A text file may be compressed (``.gz``), in UTF-8 or, with its mark, in UTF-16 or UTF-32; its
    lines may end in LF, CRLF or CR. Raises HoldfastError for an unknown suffix, an empty or damaged
    file, and a row that is none.
    """
    path = Path(path)
    packed = path.suffix.lower() == GZIP
    suffix = (path.with_suffix("") if packed else path).suffix.lower()
    if suffix not in SUFFIXES or (packed and suffix == PARQUET):
        raise HoldfastError(
            f"{path}: the file name must end in one of {', '.join(SUFFIXES)}; a text may have"
            f" {GZIP} after it"
        )
    if suffix == PARQUET:
        values: Any = _parquet(path)
    elif suffix in DELIMITERS:
        values = _csv(path, read_text(path), DELIMITERS[suffix])
    else:
        values = _json(path, read_text(path), lines=suffix == ".jsonl")
    if not isinstance(values, list) or not values:
        raise HoldfastError(f"{path} holds no rows: it must be a table or a list, and not empty")
    rows = [{"text": value} if isinstance(value, str) else value for value in values]
    for number, row in enumerate(rows, start=1):
        _check_row(path, number, row)
    return rows


def read_text(path: Path) -> str:
    """Return the text of a file, of which the first bytes tell the encoding; UTF-8 without a mark.

    Raises:
        HoldfastError: it cannot be read, or is no text in its encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HoldfastError(f"{path} cannot be read ({error.strerror}); correct that") from None
    if path.suffix.lower() == GZIP:
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error):
            raise HoldfastError(
                f"{path} is cut off or no gzip file; copy or download it again"
            ) from None
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise HoldfastError(
            f"{path} is not text in {name} ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise HoldfastError(
            f"{path} holds NUL characters, as UTF-16 without its mark does; save it as UTF-8"
        )
    return text


def parse(path: Path, text: str, where: str = "") -> Any:
    """Return the value of a user's JSON text; ``where`` in the file it stands.

    Raises:
        HoldfastError: it is no JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        reason = str(error)
    raise HoldfastError(f"{path}{where} is not valid JSON ({reason}); correct it") from None


def _json(path: Path, text: str, *, lines: bool) -> Any:
    # Only these end a line: others (NEL, U+2028) may stand inside a string.
    numbered = enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1)
    written = [(number, line) for number, line in numbered if line.strip()]
    if not written:
        return []
    if len(written) > 1 and _is_value(written[0][1]):
        return [parse(path, line, f", line {number}") for number, line in written]
    value = parse(path, text)
    if isinstance(value, dict):
        wrapped = [value[key] for key in WRAPPERS if isinstance(value.get(key), list)]
        if len(wrapped) == 1:
            return wrapped[0]
        if value and not lines:
            raise HoldfastError(
                f"{path} holds one object ({', '.join(map(str, value)):.60}), and no rows; give a"
                ' list of rows, or {"data": [...]} (pandas writes one with `orient="records"`)'
            )
    return [value] if lines and not isinstance(value, list) else value


def _is_value(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _csv(path: Path, text: str, delimiters: str) -> list[Row]:
    try:
        with _cells_of_any_length():
            table = [line for line in _lines(text, delimiters) if line]
    except csv.Error as error:
        raise HoldfastError(f"{path} is not a valid CSV file ({error}); correct it") from None
    if not table:
        return []
    header, *lines = table
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise HoldfastError(
                f"{path}, row {number} has more or fewer cells than the header ({len(line)}, not"
                f" {len(header)}); put a cell that holds a delimiter or a line end into quotes"
            )
    named = [place for place, name in enumerate(header) if name]
    for place in range(1, len(header)):  # a first one without a name is an index, as of pandas
        if place not in named:
            _check_empty(path, lines, place)
    doubled = [name for name, count in Counter(filter(None, header)).items() if count > 1]
    if doubled:
        raise HoldfastError(f"{path} has more than one column '{doubled[0]}'; rename the others")
    return [{header[place]: line[place] for place in named} for line in lines]


def _lines(text: str, delimiters: str) -> Iterator[list[str]]:
    """Yield the lines, cut at the first delimiter that cuts the header, or at the usual one."""

    def cut(delimiter: str) -> Iterator[list[str]]:
        return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    cuts = (cut(mark) for mark in delimiters if len(_header(cut(mark))) > 1)
    return next(cuts, cut(delimiters[0]))


def _header(lines: Iterator[list[str]]) -> list[str]:
    try:
        return next(filter(None, lines), [])
    except csv.Error:  # names in quotes, and another delimiter between them
        return []


def _check_empty(path: Path, lines: Sequence[Sequence[str]], place: int) -> None:
    for number, line in enumerate(lines, start=1):
        if line[place].strip():
            raise HoldfastError(
                f"{path}, row {number} has text in a column without a name; name it, or take it out"
            )


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit((1 << 31) - 1)  # a C long may have 32 bits
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet(path: Path) -> list[Row]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise HoldfastError(
            f"{path} is not a valid Parquet file ({type(error).__name__})"
        ) from None


def _check_row(path: Path, number: int, row: Any) -> None:
    where = f"{path}, row {number}"
    if not isinstance(row, dict):
        raise HoldfastError(f"{where} is {row!r:.40}: every row must be an object or a string")
    try:
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise HoldfastError(
            f"{where} holds half of a surrogate pair, which is no text; take it out"
        ) from None
    except (TypeError, ValueError, RecursionError):
        raise HoldfastError(
            f"{where} holds a value that JSON cannot hold{_culprit(row)}; give text and numbers"
        ) from None


def _culprit(row: Mapping[str, Any]) -> str:
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            return f" ({value} in column {name})"
    return ""
