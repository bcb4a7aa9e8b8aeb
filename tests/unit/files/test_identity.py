"""Files are known by their content: a copy or a touch is the same, a replacement never is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from holdfast.errors import HoldfastError
from holdfast.files import identity
from holdfast.files.atomic import sha256
from holdfast.files.identity import digests
from holdfast.files.model_files import model_digests, require_same


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read; every file counts as large, and as long settled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(identity, "LARGE", 1)
    monkeypatch.setattr(identity, "SETTLED_S", -1.0)
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr(identity, "sha256", counted)
    return read


def test_a_large_file_is_read_once_for_as_long_as_it_stays(
    reads: list[Path], tmp_path: Path
) -> None:
    file, link = tmp_path / "weights", tmp_path / "link"
    file.write_bytes(b"abc")
    link.symlink_to(file)
    first = digests([file])[file]
    assert first == sha256(file)
    assert digests([file])[file] == digests([link])[link] == first
    assert reads == [file]
    os.utime(file)
    assert digests([file])[file] == first
    assert reads == [file, file]


def test_a_replacement_of_the_same_size_and_date_is_noticed(
    reads: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    first, stat = digests([file])[file], file.stat()
    file.write_bytes(b"abd")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digests([file])[file] == sha256(file) != first
    assert len(reads) == 2


def test_a_damaged_record_is_no_record(reads: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    digests([file])
    (record,) = (tmp_path / identity.RECORDS).iterdir()
    for damage in ("", "[]", "{", '{"sha256": "0"}'):
        record.write_text(damage)
        assert digests([file])[file] == sha256(file)
    assert len(reads) == 5


def test_a_file_that_has_just_changed_is_not_remembered(
    reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "SETTLED_S", 60.0)
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert digests([file]) == digests([file])
    assert reads == [file, file]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's folder, with files that loading it does not read."""
    made = tmp_path / "checkpoint"
    made.mkdir()
    for name in ("config.json", "model.safetensors", "README.md", "pytorch_model.bin"):
        (made / name).write_text(name)
    return made


def test_a_copy_of_a_checkpoint_is_the_same(folder: Path, tmp_path: Path) -> None:
    recorded = model_digests(folder)
    assert set(recorded) == {"config.json", "model.safetensors"}
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy)
    (copy / "README.md").write_text("other words")
    require_same(copy, recorded, "run again")


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("model.safetensors", "other weights", "was replaced or edited in"),
        ("config.json", None, "is no longer in"),
        ("chat_template.jinja", "{{ x }}", "was added to"),
    ],
)
def test_a_checkpoint_that_is_another_is_refused(
    folder: Path, name: str, content: str | None, state: str
) -> None:
    recorded = model_digests(folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(HoldfastError, match=rf"^{name} {state} .*: fetch {name} again$"):
        require_same(folder, recorded, "fetch {file} again")
