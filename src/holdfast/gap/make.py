"""From an arm's weights to the content of its gap.json."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from holdfast.arms.curvature import StepSize, told_of_step
from holdfast.arms.load import load_arm
from holdfast.arms.replay_log import REPLAY_LOG, replay_log
from holdfast.engine.batches import encode_pairs, make_batches
from holdfast.engine.memory import gap
from holdfast.files.atomic import read_json, read_jsonl, sha256
from holdfast.files.journal import Journal
from holdfast.files.manifest import artifact_hash
from holdfast.gap.measure import Gap, measure
from holdfast.numerics.stream import STREAM
from holdfast.settings.gap import GapSettings


def make_gap(
    settings: GapSettings,
    *,
    lineage: Sequence[Path],
    data: Path,
    max_length: int,
    seed: int,
    scratch: Path,
) -> Gap:
    """Measure an arm on the safety pairs in ``data``; see ``measure``.

    ``lineage`` holds the weights folders that loading the arm reads, its own first. Beside what is
    measured, ``step`` is what the log of a zeroth-order arm tells of its learning rate
    (``told_of_step``), and None for other arms. A killed job goes on from ``scratch``.
    """
    arm = lineage[0]
    header = {
        "inputs": [*map(artifact_hash, lineage), sha256(data)],
        "settings": [settings.model_dump(mode="json"), max_length, seed],
    }
    journal = Journal(scratch / "gap.jsonl", header)
    loaded = load_arm(arm, needs=lambda shape: gap(shape, settings, max_length))
    pairs = read_jsonl(data)[: settings.samples]
    batches = make_batches(encode_pairs(loaded.tokenizer, pairs, max_length), settings.batch_size)
    around = measure(loaded.model, batches, settings, seed=seed, journal=journal)
    shutil.rmtree(scratch, ignore_errors=True)
    return Gap(samples=len(pairs), data_sha256=sha256(data), step=_step(arm), **around.model_dump())


def _step(arm: Path) -> StepSize | None:
    if not (arm / REPLAY_LOG).exists():
        return None
    log = replay_log(read_json(arm / REPLAY_LOG), STREAM)
    return told_of_step(log) if log.arm == "zeroth_order" else None
