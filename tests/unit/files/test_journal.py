"""Journals keep finished pieces, and nothing that is no finite number."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from holdfast.errors import HoldfastError
from holdfast.files.journal import Journal


@pytest.mark.parametrize("value", [float("nan"), {"nll": [1.0, float("inf")]}])
def test_a_result_that_is_no_finite_number_is_refused_and_not_kept(
    tmp_path: Path, value: object
) -> None:
    journal = Journal(tmp_path / "journal", {"weights": "a"})
    journal.append("whole", 1.0)
    with pytest.raises(HoldfastError, match=r"no finite number .*\(perplexity\).*bfloat16"):
        journal.append("perplexity", value)
    assert "perplexity" not in journal
    assert Journal(tmp_path / "journal", {"weights": "a"}).entries() == {"whole": 1.0}


def test_one_that_an_earlier_release_kept_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path, {}).append("whole", 1.0)
    piece = json.dumps(["perplexity", float("nan")])
    with path.open("a") as file:
        file.write(f"{zlib.crc32(piece.encode()):08x} {piece}\n")
    journal = Journal(path, {})
    assert journal.entries() == {"whole": 1.0}
    journal.append("perplexity", 2.0)
    assert Journal(path, {}).entries() == {"whole": 1.0, "perplexity": 2.0}
