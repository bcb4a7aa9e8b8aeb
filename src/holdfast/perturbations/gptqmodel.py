"""W4A16 by GPTQModel, AutoGPTQ's successor, which runs in an environment of its own.

GPTQModel needs a newer torch than llm-compressor allows, so it reads the arm as a plain Hugging
Face folder and nothing of what it writes needs it again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from holdfast.errors import HoldfastError
from holdfast.files.atomic import read_json, write_json
from holdfast.numerics.rounding import Grid

TOO_SHORT = 10  # tokens of a text that GPTQModel leaves out, whatever it is asked


def require_gptqmodel() -> None:
    """Raise HoldfastError when GPTQModel is not installed beside this interpreter."""
    if find_spec("gptqmodel") is None:
        raise HoldfastError(
            "`backend: gptqmodel` runs in the environment envs/gptqmodel.yaml: start snakemake"
            " with `--sdm conda`, which builds it, or set `backend: llm-compressor`"
        )


def quantize_folder(
    model: Path, folder: Path, grid: Grid, calibration: Sequence[Sequence[int]]
) -> None:
    """Quantize the decoder's linear modules of a Hugging Face folder; save in GPTQ's format.

    The grid is symmetric; damping, the order of columns and all else are GPTQModel's defaults, but
    a module that calibration does not reach is an error rather than rounded to nearest. Embeddings
    and the output head keep their precision, and weights their data type.

    Args:
        model: a plain Hugging Face folder, with tokenizer.
        folder: where the checkpoint goes; made when missing.
        grid: bits, and what shares a scale: a number of inputs or ``channel``.
        calibration: token ids of the texts whose activations GPTQ fits, one list per text;
            GPTQModel leaves out those of 10 tokens or fewer.

    Raises:
        HoldfastError: GPTQModel is not installed, or no text is long enough.
    """
    require_gptqmodel()
    texts = [list(text) for text in calibration if len(text) > TOO_SHORT]
    if not texts:
        raise HoldfastError(
            f"GPTQModel needs calibration texts of more than {TOO_SHORT} tokens: there is none"
        )
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(max(2, torch.get_num_threads())))
    gptqmodel: Any = import_module("gptqmodel")
    scratch = folder / "offload"
    settings = gptqmodel.QuantizeConfig(
        bits=grid.bits,
        group_size=-1 if grid.group_size == "channel" else grid.group_size,
        sym=True,
        act_group_aware=grid.group_size != "channel",  # reorders columns, which needs groups
        fallback=None,
        offload_to_disk_path=str(scratch),
    )
    dtype = getattr(torch, read_json(model / "config.json")["dtype"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    live = gptqmodel.GPTQModel.load(str(model), settings, device=device, dtype=dtype)
    live.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in texts])
    live.save(str(folder))
    shutil.rmtree(scratch, ignore_errors=True)
    _same_bytes_every_time(folder)


def _same_bytes_every_time(folder: Path) -> None:
    """Drop what GPTQModel notes of the run itself: times, and the path of a temporary folder."""
    for name in ("quant_log.csv", "quantize_config.json"):
        (folder / name).unlink(missing_ok=True)
    config = read_json(folder / "config.json")
    config["quantization_config"].pop("meta", None)
    write_json(folder / "config.json", config)
