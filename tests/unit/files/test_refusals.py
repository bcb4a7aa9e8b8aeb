"""What a file system refuses is one sentence, and what was there before is there afterwards."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

import tiny_llama
from frames import run
from holdfast.arms.first_order import make_optimizer
from holdfast.arms.training_state import load_state, save_state
from holdfast.checkpoints.export import save_checkpoint
from holdfast.data.source import fetch
from holdfast.errors import HoldfastError
from holdfast.files.atomic import (
    atomic_dir,
    read_jsonl,
    write_json,
    write_jsonl,
)
from holdfast.files.journal import Journal
from holdfast.files.refusals import require_writable
from holdfast.settings.data import DataSource
from holdfast.settings.stages import FirstOrder

ROWS = [{"completion": "x" * 1000}] * 200
FULL = r"cannot be used: the disk is full \(0\.\d MiB free\); make room and run again"


def mount(folder: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here ({error})")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, of which 100 KiB are free as long as the file ``ballast`` is there."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "size=1m")
    (folder / "ballast").write_bytes(b"x" * (924 << 10))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_for_which_there_is_no_room(disk: Path, tmp_path: Path) -> None:
    path = disk / "completions.jsonl"
    write_jsonl(path, [1])
    with pytest.raises(HoldfastError, match=rf"{path} {FULL}"):
        write_jsonl(path, ROWS)
    assert read_jsonl(path) == [1]
    assert names(disk) == ["ballast", "completions.jsonl"]
    (disk / "ballast").unlink()
    write_jsonl(path, ROWS)
    write_jsonl(tmp_path / "undisturbed", ROWS)
    assert path.read_bytes() == (tmp_path / "undisturbed").read_bytes()


def test_a_checkpoint_for_which_there_is_no_room(disk: Path) -> None:
    """The weights are written in Rust, which has its own way of saying so."""
    model = tiny_llama.model()
    model.resize_token_embeddings(4000)
    with pytest.raises(HoldfastError, match=rf"{disk / 'weights'} {FULL}"):
        save_checkpoint(model, tiny_llama.tokenizer(), disk / "weights")
    assert names(disk) == ["ballast"]


def test_a_training_state_for_which_there_is_no_room(disk: Path) -> None:
    def save(step: int, width: int) -> None:
        weights = torch.nn.Linear(width, width)
        optimizer = make_optimizer(weights, FirstOrder())
        whole = {"whole": lambda tensor: tensor, "writes": True}
        save_state(disk / "training.pt", str(step), weights, optimizer, [], **whole)

    save(1, 10)
    with pytest.raises(HoldfastError, match=rf"{disk / 'training.pt'} {FULL}"):
        save(2, 400)
    assert names(disk) == ["ballast", "training.pt"]
    small = torch.nn.Linear(10, 10)
    assert (
        load_state(
            disk / "training.pt", "1", small, make_optimizer(small, FirstOrder()), part=_part
        )
        == []
    )


def _part(tensor: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return tensor


def test_a_journal_that_fills_the_disk_keeps_what_it_has(disk: Path, tmp_path: Path) -> None:
    journal, path = Journal(disk / "j", {"work": 1}), disk / "j"

    def fill() -> None:
        for number in range(200):
            journal.append(str(number), "x" * 1000)

    with pytest.raises(HoldfastError, match=rf"{path} {FULL}"):
        fill()
    finished = len(journal.entries())
    assert 90 < finished < 110
    again = Journal(path, {"work": 1})  # still full
    assert list(again.entries()) == [str(number) for number in range(finished)]
    (disk / "ballast").unlink()
    undisturbed = Journal(tmp_path / "j", {"work": 1})
    for number in range(200):
        undisturbed.append(str(number), "x" * 1000)
        if str(number) not in again:
            again.append(str(number), "x" * 1000)
    assert path.read_bytes() == (tmp_path / "j").read_bytes()


def test_a_download_that_fills_the_disk_is_not_blamed_on_the_network(
    disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_bytes(b"x" * (1 << 20))
    source = DataSource(url=f"file://{tmp_path}/data.csv", sha256="0" * 64)
    with pytest.raises(HoldfastError, match=rf"data\.csv {FULL}"):
        fetch(source, tmp_path, tmp_path, disk / "cache")
    assert names(disk) == ["ballast"]


FILLS = "(folder / 'out.json').write_text('x' * 200_000)"
LOGS = "print('x' * 200_000, flush=True)"


@pytest.mark.parametrize("body", [FILLS, LOGS], ids=["output", "log"])
def test_a_job_on_a_full_disk_is_one_sentence(disk: Path, body: str) -> None:
    write_json(disk / "in.json", {"x": 1})
    done = run(disk, body)
    assert done.returncode != 0
    assert f"{disk / 'out.json'} cannot be used: the disk is full (0.0 MiB free)" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (disk / "out.json.manifest.json").exists()
    (disk / "ballast").unlink()
    done = run(disk, body + "; (folder / 'out.json').write_text('done')")
    assert (done.returncode, (disk / "out.json").read_text()) == (0, "done")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission is denied"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_every_refusal_names_the_path_and_the_room(
    code: int, said: str, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mount: the writer fails as such a disk would let it."""
    write_json(tmp_path / "a.json", {"old": 1})

    def failing(_: int) -> None:
        names = [str(tmp_path / f".a.json.{os.getpid()}.part")] if named else []
        raise OSError(code, os.strerror(code), *names)

    monkeypatch.setattr(os, "fsync", failing)
    expected = rf"^{tmp_path / 'a.json'} cannot be used: {said} \(\d+\.\d MiB free\)"
    with pytest.raises(HoldfastError, match=expected):
        write_json(tmp_path / "a.json", {"new": 1})

    def in_a_folder() -> None:
        with atomic_dir(tmp_path / "a.json"):
            failing(0)

    with pytest.raises(HoldfastError, match=expected):
        in_a_folder()
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == '{\n "old": 1\n}\n'


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    def wrong() -> None:
        with atomic_dir(tmp_path / "a"):
            (tmp_path / "missing").read_text()

    with pytest.raises(FileNotFoundError):
        wrong()


def test_a_read_only_folder(tmp_path: Path) -> None:
    require_writable(tmp_path / "made" / "below")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "made").mkdir()
    mount(tmp_path / "made", "ro")
    try:
        said = rf"{tmp_path / 'made'}.* cannot be used: the file system is read-only"
        with pytest.raises(HoldfastError, match=said):
            require_writable(tmp_path / "made")
        with pytest.raises(HoldfastError, match=said):
            require_writable(tmp_path / "made" / "below")
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "made")], check=True)


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder in which this process may not write; root, who may anywhere, is somebody else."""
    user = os.geteuid()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        os.seteuid(user or 65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)


def test_a_folder_of_somebody_else(theirs: Path) -> None:
    with pytest.raises(HoldfastError, match=rf"{theirs}/a cannot be used: permission is denied"):
        require_writable(theirs / "a")
    with pytest.raises(HoldfastError, match=rf"{theirs}/a cannot be used: permission is denied"):
        write_json(theirs / "a", 1)
