"""Fine-tuning after alignment, on benign, identity-shifting or harmful pairs.

Qi et al., "Fine-tuning aligned language models compromises safety, even when users do not intend
to!", ICLR 2024; the attacks that LoX (arXiv:2506.15606) is tried against.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from holdfast.arms.first_order import train
from holdfast.arms.load import load_arm
from holdfast.checkpoints.export import try_saving, write_checkpoint
from holdfast.checkpoints.load import CHECKPOINT, Loaded
from holdfast.checkpoints.records import describe_arm
from holdfast.engine.batches import encode_pairs
from holdfast.files.atomic import atomic_dir, read_jsonl
from holdfast.files.manifest import artifact_hash
from holdfast.settings.perturbations import FineTune


def make_finetuned(
    settings: FineTune,
    *,
    arm: Path,
    lineage: list[Path],
    data: Path,
    max_length: int,
    seed: int,
    folder: Path,
    scratch: Path,
) -> None:
    """Fine-tune the arm in folder ``arm`` and store what it is at every level, an arm itself.

    ``data`` holds pairs, cut at ``max_length`` tokens; ``lineage`` the weights folders that loading
    the arm reads. One training goes through all levels, in the order of the samples that ``seed``
    gives. A killed job goes on from ``scratch``.

    Raises:
        HoldfastError: the loss or the gradient is no finite number.
    """
    parts = [settings.training.model_dump_json(), str((settings.levels, max_length, seed))]
    parts += [artifact_hash(path) for path in [*lineage, data]]
    waiting = scratch / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    loaded = load_arm(arm)
    try_saving(loaded.model, loaded.tokenizer, folder, copies=len(settings.levels))
    examples = encode_pairs(loaded.tokenizer, read_jsonl(data), max_length)
    types = {name: parameter.dtype for name, parameter in loaded.model.named_parameters()}

    def store(steps: int) -> None:
        if steps in settings.levels and not (waiting / str(steps)).exists():
            with atomic_dir(waiting / str(steps)) as made:
                _save(loaded, types, made / CHECKPOINT)
                where = folder / str(steps)
                describe_arm(made, where, "first_order", arm, seed, settings.training)

    train(loaded.model, examples, settings.training, seed=seed, scratch=waiting, after=store)
    with atomic_dir(folder) as made:
        for level in settings.levels:
            shutil.move(waiting / str(level), made / str(level))
    shutil.rmtree(waiting)


def _save(loaded: Loaded, types: dict[str, Any], folder: Path) -> None:
    """Write the model, whose weights are in the middle of their training, in its own types."""
    parameters = dict(loaded.model.named_parameters())
    rounded = {id(p): p.detach().to(types[name]) for name, p in parameters.items()}
    # Buffers as they are, and of tied weights one tensor under every name.
    state = loaded.model.state_dict(keep_vars=True)
    tensors = {name: rounded.get(id(tensor), tensor) for name, tensor in state.items()}
    write_checkpoint(loaded.model, loaded.tokenizer, folder, tensors=tensors)
