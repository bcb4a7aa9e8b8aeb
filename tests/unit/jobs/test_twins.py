"""What one arm's job made is copied for another arm of the same weights, and for no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.files.atomic import read_json, write_json
from holdfast.files.manifest import manifest_path, write_manifest
from holdfast.jobs.twins import copy_of_twin

SETTINGS = [{"levels": [20]}]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for arm, weights in (("robust", 1), ("snip", 1), ("random", 2)):
        write_json(Path("m", arm, "seed0", "weights.json"), weights)
    made = Path("m/robust/seed0/noise")
    write_json(made / "texts.json", ["said"])
    write_json(made / "copies" / "level" / "weights.json", 3)
    finish("robust")
    return tmp_path


def outputs(arm: str) -> list[str]:
    return [f"m/{arm}/seed0/noise/{name}" for name in ("texts.json", "copies")]


def job(arm: str, **changes: Any) -> dict[str, Any]:
    where = {"model": "m", "arm": arm, "seed": "0"}
    weights = [f"m/{arm}/seed0/weights.json"]
    given = {"inputs": weights, "rule": "evaluate_0", "wildcards": where, "settings": SETTINGS}
    return {"outputs": outputs(arm), **given, **changes}


def finish(arm: str) -> None:
    write_manifest(*job(arm).values())


def test_equal_weights_are_evaluated_once() -> None:
    assert copy_of_twin(**job("snip")) == "robust"
    assert read_json("m/snip/seed0/noise/texts.json") == ["said"]
    assert read_json("m/snip/seed0/noise/copies/level/weights.json") == 3


def test_the_other_arm_may_be_deleted_afterwards(folder: Path) -> None:
    copy_of_twin(**job("snip"))
    for path in sorted(folder.glob("m/robust/**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert read_json("m/snip/seed0/noise/copies/level/weights.json") == 3


@pytest.mark.parametrize(
    "other",
    [
        job("random"),
        job("snip", settings=[{"levels": [30]}]),
        job("snip", rule="evaluate_1"),
        job("snip", wildcards={"model": "m", "arm": "snip", "seed": "1"}),
        job("snip", inputs=[]),
    ],
    ids=["weights", "settings", "rule", "seed", "inputs"],
)
def test_what_differs_is_made_itself(other: dict[str, Any]) -> None:
    assert copy_of_twin(**other) is None
    assert not Path(other["outputs"][0]).exists()


def test_damaged_or_unfinished_work_is_not_copied() -> None:
    write_json("m/robust/seed0/noise/texts.json", ["edited"])
    assert copy_of_twin(**job("snip")) is None
    write_json("m/robust/seed0/noise/texts.json", ["said"])
    assert copy_of_twin(**job("snip")) == "robust"
    manifest_path("m/robust/seed0/noise/texts.json").write_text("{")
    assert copy_of_twin(**job("random")) is None
