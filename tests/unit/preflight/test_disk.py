"""Checks of the disk before a run: what will be written must fit."""

from __future__ import annotations

import re
from collections import namedtuple
from pathlib import Path

import pytest

import tiny_llama
from fake_hub import FakeHub
from holdfast.preflight import disk
from preflights import llama, settings, with_model

Usage = namedtuple("Usage", "total used free")


def test_the_disk_must_hold_what_will_be_written(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = with_model()
    (ample,) = disk.check(given)
    assert ample.ok
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1, 1, 1000))
    (told,) = disk.check(given)
    assert told.ok is False
    assert "make room" in told.text
    assert "downloads" in told.text


def test_the_estimate_of_the_disk_counts_every_copy(hub: FakeHub) -> None:
    parts = disk._results(with_model())
    shape = tiny_llama.model()
    size = 4 * sum(parameter.numel() for parameter in shape.parameters())
    assert parts["first-order arms"] == 2 * size  # fo and fo_long
    assert parts["training state"] == size
    assert parts["GPTQ copies"] == 0  # no table shows any
    assert disk._downloads(with_model()) == sum(
        len(body) for name, body in hub.repositories["some/llama"].files.items()
    )
    overlay = llama()
    overlay["tables"]["mine"] = {
        "kind": "robustness",
        "title": "x",
        "metrics": ["refusal_prefix"],
        "sections": [{"arm": "zo_robust", "reference": {"arm": "fo"}}],
    }
    copies = disk._results(settings(**overlay))["GPTQ copies"]
    linear = sum(
        module.weight.numel() for name, module in shape.named_modules() if name.endswith("proj")
    )
    rest = size - 4 * linear
    assert copies == 2 * sum(rest + linear * bits / 8 for bits in (4, 4, 3))  # fo, zo_robust


def test_the_points_of_sweeps_are_told_apart(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * sum(parameter.numel() for parameter in tiny_llama.model().parameters())
    swept = {"fo": {"sweep": {"learning_rate": [1e-3, 1e-2, 3e-2]}}, "zo_robust": {"sweep": None}}
    overlay = llama() | {"seeds": [0, 1]}
    without = settings(**overlay, arms={"zo_robust": {"sweep": None}})
    given = settings(**overlay, arms=swept)
    assert disk._sweeps(without) == 0
    points = 3 - (given.arms["fo"].learning_rate in (1e-3, 1e-2, 3e-2))
    assert 2 * points * size < disk._sweeps(given) < 2 * points * (size + 20_000)
    assert disk._results(given) == disk._results(without)
    (plain,), (told,) = disk.check(without), disk.check(given)
    assert "snakemake sweeps" not in plain.text
    more = re.search(r", with `snakemake sweeps` ([\d.]+) MB more, ", told.text)
    assert more
    assert float(more[1]) == pytest.approx(disk.MARGIN * disk._sweeps(given) / 1e6, abs=0.06)

    need = disk.MARGIN * (sum(disk._results(given).values()) + disk._downloads(given))
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1, 1, need + 1))
    (short,) = disk.check(given)
    assert short.ok  # the run itself fits
    assert "more (too much for this disk)" in short.text

    point = Path("results") / given.run / "llama" / "fo.1" / "seed0" / "weights"
    point.mkdir(parents=True)
    (point / "made").write_bytes(b"0" * int(disk.MARGIN * disk._sweeps(given) + 1))
    (done,) = disk.check(given)
    assert "snakemake sweeps" not in done.text
    assert done.text.split(",")[0] == told.text.split(",")[0]  # what is left of the run
