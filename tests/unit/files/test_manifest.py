"""What a manifest says of an artifact, and what speaks against it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.errors import HoldfastError
from holdfast.files.atomic import (
    read_json,
    sha256,
    write_json,
    write_jsonl,
)
from holdfast.files.manifest import (
    artifact_hash,
    is_made,
    manifest_path,
    verify,
    write_manifest,
)


def test_a_flipped_byte_is_found_by_the_manifest(tmp_path: Path) -> None:
    artifact = tmp_path / "verdicts.jsonl"
    artifact.write_bytes(b"abc\n")
    write_manifest([str(artifact)], [], "judge", {"arm": "fo"}, {"x": 1})
    assert json.loads(manifest_path(artifact).read_text())["wildcards"] == {"arm": "fo"}
    assert artifact_hash(artifact) == sha256(artifact)
    verify(artifact)
    artifact.write_bytes(b"abd\n")
    with pytest.raises(HoldfastError, match=r"verdicts\.jsonl does not have the hash"):
        verify(artifact)


@pytest.mark.parametrize("content", ["", '{"outputs": ', "[]", "{}", '{"outputs": 1}'])
def test_a_torn_manifest_is_named_with_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text("1")
    write_manifest([str(tmp_path / "a.json")], [], "judge", {}, None)
    manifest_path(tmp_path / "a.json").write_text(content)
    with pytest.raises(HoldfastError, match=r"a\.json\.manifest\.json is torn or no manifest"):
        verify(tmp_path / "a.json")


def test_an_edited_manifest_speaks_against_its_artifact_and_a_missing_one_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.json").write_text("1")
    write_manifest([str(tmp_path / "a.json")], [], "judge", {}, None)
    path = manifest_path(tmp_path / "a.json")
    write_json(path, read_json(path) | {"outputs": {"a.json": "0" * 64}})
    with pytest.raises(HoldfastError, match=r"a\.json does not have the hash"):
        verify(tmp_path / "a.json")
    path.unlink()
    verify(tmp_path / "a.json")


def test_jobs_that_were_grouped_otherwise_before_do_not_speak_against_an_output(
    tmp_path: Path,
) -> None:
    first, second = outputs = [str(tmp_path / name) for name in ("a.jsonl", "z.jsonl")]
    for content in ("old", "new"):
        for output in outputs:
            Path(output).write_text(content)
        if content == "old":
            write_manifest([first], [], "judge", {}, None)
            write_manifest([second], [], "judge", {}, None)
    write_manifest([second, first], [], "judge", {}, None)
    for output in outputs:
        verify(output)
        assert artifact_hash(output) == sha256(output)
    Path(first).write_text("newer")
    with pytest.raises(HoldfastError, match=r"a\.jsonl does not have the hash"):
        verify(first)


def test_a_job_is_made_when_all_its_outputs_are_there_and_whole(tmp_path: Path) -> None:
    outputs = [str(tmp_path / name) for name in ("weights", "cost.json")]
    job = (outputs, [], "first_order", {"arm": "fo"}, [{"steps": 3}])
    (tmp_path / "weights").mkdir()
    assert not is_made(*job)
    (tmp_path / "cost.json").write_text("1")
    assert not is_made(*job)
    write_manifest(*job)
    assert is_made(*job)
    assert not is_made(*job[:-1], [{"steps": 4}])
    (tmp_path / "weights" / "x").write_text("1")
    assert not is_made(*job)


def test_outputs_of_one_name_in_several_folders_keep_their_own_hashes(tmp_path: Path) -> None:
    outputs = [tmp_path / name / "completions.jsonl" for name in ("none", "w4a4")]
    for output in outputs:
        write_jsonl(output, [output.parent.name])
    write_manifest([str(output) for output in outputs], [], "evaluate", {}, None)
    for output in outputs:
        verify(output)
    outputs[1].write_bytes(b"1\n")
    with pytest.raises(HoldfastError, match="w4a4"):
        verify(outputs[1])
