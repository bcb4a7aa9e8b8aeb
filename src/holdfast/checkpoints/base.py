"""Base models: fetch a checkpoint, or make one, and write down what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from holdfast.checkpoints.code import check_origin, foreign_code_told
from holdfast.checkpoints.load import load_tokenizer
from holdfast.checkpoints.records import CHECKPOINT, MODEL_FILE
from holdfast.checkpoints.shards import check_shards
from holdfast.errors import HoldfastError
from holdfast.files.atomic import atomic_dir, write_json
from holdfast.files.hub import fetch_snapshot
from holdfast.files.model_files import model_digests
from holdfast.settings.models import ModelSettings
from holdfast.text import tell

TokenizerNeed = Literal["none", "plain", "chat"]


def prepare_model(
    settings: ModelSettings,
    folder: Path,
    *,
    make: Callable[[Path], None] | None = None,
    setting: str = "model",
    tokenizer: TokenizerNeed = "none",
) -> None:
    """Fill ``folder`` with ``model.json`` and, for a model made here, its checkpoint.

    Args:
        settings: where the model comes from.
        folder: the model's folder under the run's results.
        make: trains a model that the run makes itself into a folder.
        setting: path of ``settings`` in the config, for the messages.
        tokenizer: whether the checkpoint must have one, and whether with a chat template.

    Raises:
        HoldfastError: the checkpoint cannot be had, is damaged, or is not what the settings say.
    """
    with atomic_dir(folder) as made:
        outside = _outside(settings, setting)
        if outside is None:
            assert make
            make(made / CHECKPOINT)
        checkpoint = outside or made / CHECKPOINT
        where = f"{setting}.{settings.kind}"
        check_origin(checkpoint, where)
        check_shards(checkpoint, where)
        if tokenizer != "none":
            _check_tokenizer(checkpoint, where, settings, chat=tokenizer == "chat")
        model: dict[str, Any] = {
            "kind": settings.kind,
            "source": settings.hub or (str(outside) if outside else CHECKPOINT),
            "revision": settings.revision,
            "trust_remote_code": settings.trust_remote_code,
            "dtype": settings.dtype,
            "layers": _layers(settings, checkpoint, setting),
            "meaningless": settings.says_nothing,
        }
        if outside:  # what comes of the model is known by the hash of this record
            model["files"] = model_digests(outside, code=settings.trust_remote_code)
        write_json(made / MODEL_FILE, model)


def _outside(settings: ModelSettings, setting: str) -> Path | None:
    """Return the folder of a checkpoint that is not made here; a hub's is fetched."""
    if settings.path:
        folder = Path(settings.path).expanduser().resolve()
        if not (folder / "config.json").exists():
            raise HoldfastError(
                f"{setting}.path: {settings.path} is not a Hugging Face folder (it has no"
                " config.json); correct the path"
            )
        return folder
    if settings.hub:
        assert settings.revision
        code = settings.trust_remote_code
        return fetch_snapshot(settings.hub, settings.revision, f"{setting}.hub", code=code)
    return None


def _check_tokenizer(
    checkpoint: Path, setting: str, settings: ModelSettings, *, chat: bool
) -> None:
    try:
        tokenizer = load_tokenizer(checkpoint, remote=settings.trust_remote_code)
    except HoldfastError as error:
        raise HoldfastError(f"{setting}: {error}") from None
    except Exception as error:  # the tokenizers library raises no narrower one
        raise HoldfastError(
            f"{setting}: the tokenizer in {checkpoint} cannot be loaded ({_first_line(error)});"
            " a checkpoint needs tokenizer.json and tokenizer_config.json"
        ) from None
    if chat and not tokenizer.chat_template:
        raise HoldfastError(
            f"{setting}: the tokenizer in {checkpoint} has no chat template; use an"
            " instruction-tuned checkpoint, or add its chat_template.jinja"
        )
    if tokenizer.pad_token == tokenizer.eos_token:
        tell(f"{setting}: texts are padded with the end-of-sequence token {tokenizer.eos_token}")


def _layers(settings: ModelSettings, checkpoint: Path, setting: str) -> int:
    """Return the checkpoint's number of decoder layers, after comparing it with the settings."""
    from transformers import AutoConfig

    try:
        with foreign_code_told(checkpoint):
            config: Any = AutoConfig.from_pretrained(
                checkpoint, trust_remote_code=settings.trust_remote_code
            )
        found = int(config.get_text_config().num_hidden_layers)
    except HoldfastError as error:
        raise HoldfastError(f"{setting}.{settings.kind}: {error}") from None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise HoldfastError(
            f"{setting}.{settings.kind}: {checkpoint / 'config.json'} is not that of a language"
            f" model known here ({_first_line(error)})"
        ) from None
    if settings.layer_count is not None and settings.layer_count != found:
        raise HoldfastError(
            f"{setting}.layers: {settings.layer_count} does not match the checkpoint, which has"
            f" {found} decoder layers; write layers: {found}"
        )
    return found


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
