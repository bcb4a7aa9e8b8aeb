"""Whether two arms are one: their logs replay to the same weights, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast.arms.replay_log import REPLAY_LOG, replay_log
from holdfast.checkpoints.records import ARM_FILE, arm_record
from holdfast.files.atomic import read_json
from holdfast.numerics.stream import STREAM

# What replaying computes with; the other settings and numbers tell how the scalars came about.
SETTINGS = {"directions", "momentum", "weight_decay"}
STEP = {"step", "learning_rate", "coefficients", "clip"}


def same_move(first: Path, second: Path) -> bool:
    """Say whether the arms in two weights folders are a replay of the same log on the same parent.

    Only logs are compared: two checkpoints, or a checkpoint and a log, are not said to be the same.
    The parents are the same where their fingerprints are, which the logs hold.

    Raises:
        HoldfastError: a record or a log is damaged, or its noise is another release's.
    """
    logs = [_replayed(folder) for folder in (first, second)]
    return logs[0] is not None and logs[0] == logs[1]


def _replayed(folder: Path) -> dict[str, Any] | None:
    """Return what the weights of a logged arm follow from; None for an arm without a log."""
    if not (folder / ARM_FILE).exists() or not (folder / REPLAY_LOG).exists():
        return None
    arm_record(folder)
    log = replay_log(read_json(folder / REPLAY_LOG), STREAM)
    return log.model_dump(include={"parent", "layers", "noise_stream", "seed", "dimension"}) | {
        "settings": log.settings.model_dump(include=SETTINGS),
        "steps": [step.model_dump(include=STEP) for step in log.steps],
    }
