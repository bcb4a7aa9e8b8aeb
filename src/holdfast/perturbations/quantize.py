"""The GPTQ copies of one arm, one folder a level."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.arms.load import load_arm
from holdfast.checkpoints.export import try_saving
from holdfast.checkpoints.load import device, load_tokenizer
from holdfast.engine.batches import encode_pairs
from holdfast.files.atomic import atomic_dir, read_jsonl, replace_dir
from holdfast.files.manifest import artifact_hash
from holdfast.numerics.rounding import Grid
from holdfast.progress import track
from holdfast.settings.quantization import Gptq

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Quantizer = Callable[[Grid, Path], None]  # from a weight grid to a folder with the copy


def make_quantized(
    settings: Gptq, *, arm: Path, lineage: list[Path], data: Path, folder: Path, scratch: Path
) -> None:
    """Quantize the arm in folder ``arm`` on every grid of ``settings`` into ``folder/<level>``.

    ``lineage`` holds the weights folders that loading the arm reads; for ``gptqmodel``, ``arm`` is
    the arm exported as a plain Hugging Face folder. Finished levels wait in ``scratch`` until all
    are there, so a killed job goes on with the next one.
    """
    parts = [settings.model_dump_json(), *(artifact_hash(path) for path in [*lineage, data])]
    waiting = scratch / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    pairs = read_jsonl(data)[: settings.calibration_samples]
    prepare = _gptqmodel if settings.backend == "gptqmodel" else _llm_compressor
    quantize = prepare(arm, pairs, settings.max_length)
    for level, grid in track(settings.levels.items(), "GPTQ levels"):
        if (waiting / level).exists():
            continue
        with atomic_dir(waiting / level) as made:
            quantize(Grid(grid.bits, grid.group_size), made)
    for half in waiting.glob(".*.part"):  # of a killed job, for a level that is whole by now
        shutil.rmtree(half)
    replace_dir(waiting, folder)  # all at once: moved one by one, a kill would lose some


def _llm_compressor(arm: Path, pairs: list[dict[str, str]], max_length: int) -> Quantizer:
    from holdfast.perturbations.gptq import quantize_checkpoint

    loaded = load_arm(arm, cards={})  # stays in host memory: GPTQ uses up the copy it is given
    try_saving(loaded.model, loaded.tokenizer, arm, copies=0)
    texts = _texts(loaded.tokenizer, pairs, max_length)

    def quantize(grid: Grid, folder: Path) -> None:
        model = copy.deepcopy(loaded.model).to(device())
        quantize_checkpoint(model, loaded.tokenizer, folder, grid, texts)

    return quantize


def _gptqmodel(arm: Path, pairs: list[dict[str, str]], max_length: int) -> Quantizer:
    from holdfast.perturbations.gptqmodel import quantize_folder, require_gptqmodel

    require_gptqmodel()
    texts = _texts(load_tokenizer(arm), pairs, max_length)
    return lambda grid, folder: quantize_folder(arm, folder, grid, texts)


def _texts(
    tokenizer: PreTrainedTokenizerBase, pairs: list[dict[str, str]], max_length: int
) -> list[list[int]]:
    return [list(row.input_ids) for row in encode_pairs(tokenizer, pairs, max_length)]
