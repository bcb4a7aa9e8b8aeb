"""Base models: fetch a checkpoint, or make one, and write down what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from holdfast.checkpoints.code import check_origin, foreign_code_told
from holdfast.checkpoints.ends import generation_tokens
from holdfast.checkpoints.load import Tokenizer, load_tokenizer
from holdfast.checkpoints.records import CHECKPOINT, MODEL_FILE
from holdfast.checkpoints.shards import LocalFiles
from holdfast.checkpoints.tensors import first_line
from holdfast.checkpoints.tokens import check_tokens
from holdfast.checkpoints.verify import check_model
from holdfast.engine.chat import chat_form
from holdfast.errors import HoldfastError, headed
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
    check: Callable[[Any, LocalFiles], Any] | None = None,
) -> None:
    """Fill ``folder`` with ``model.json`` and, for a model made here, its checkpoint.

    Args:
        settings: where the model comes from.
        folder: the model's folder under the run's results.
        make: trains a model that the run makes itself into a folder.
        setting: path of ``settings`` in the config, for the messages.
        tokenizer: whether the checkpoint must have one, and whether with a chat template.
        check: holds the checkpoint's files against its configuration, in place of ``check_model``.

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
        remote = settings.trust_remote_code
        check_origin(checkpoint, where, remote=remote)
        with headed(where):
            generation_tokens(checkpoint)  # it can be read
        config = configuration(checkpoint, where, remote=remote)
        with headed(where):
            files = LocalFiles(checkpoint)
            model = check(config, files) if check else check_model(config, files, remote=remote)
        layers = _layers(settings, config, checkpoint, setting)
        if tokenizer != "none":
            chat = tokenizer == "chat"
            tokens = checked_tokenizer(checkpoint, where, model, remote=remote, chat=chat)
            if tokens.pad_token == tokens.eos_token:
                tell(f"{where}: texts are padded with the end-of-sequence token {tokens.eos_token}")
        record: dict[str, Any] = {
            "kind": settings.kind,
            "source": settings.hub or (str(outside) if outside else CHECKPOINT),
            "revision": settings.revision,
            "trust_remote_code": settings.trust_remote_code,
            "dtype": settings.dtype,
            "layers": layers,
            "meaningless": settings.says_nothing,
        }
        if outside:  # what comes of the model is known by the hash of this record
            record["files"] = model_digests(outside, code=settings.trust_remote_code)
        write_json(made / MODEL_FILE, record)


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


def checked_tokenizer(
    checkpoint: Path, where: str, model: Any, *, remote: bool, chat: bool
) -> Tokenizer:
    """Return a checkpoint's tokenizer, unless it cannot be used with the checkpoint's model.

    Args:
        checkpoint: the folder.
        where: the path of the checkpoint in the config, for the messages.
        model: the checkpoint's model; its weights may have no content.
        remote: whether the checkpoint's own code may run.
        chat: whether a chat template is needed.

    Raises:
        HoldfastError: it cannot be loaded, lacks what is needed, or uses tokens that the model does
            not have.
    """
    try:
        tokenizer = load_tokenizer(checkpoint, remote=remote)
    except HoldfastError as error:
        raise HoldfastError(f"{where}: {error}") from None
    except Exception as error:  # the tokenizers library raises no narrower one
        raise HoldfastError(
            f"{where}: the tokenizer in {checkpoint} cannot be loaded ({first_line(error)});"
            " a checkpoint needs tokenizer.json and tokenizer_config.json"
        ) from None
    if chat and not tokenizer.chat_template:
        raise HoldfastError(
            f"{where}: the tokenizer in {checkpoint} has no chat template; use an"
            " instruction-tuned checkpoint, or add its chat_template.jinja"
        )
    if chat:
        with headed(where):
            chat_form(tokenizer, str(checkpoint))
    check_tokens(tokenizer, model, where, chat=chat)
    return tokenizer


def configuration(checkpoint: Path, where: str, *, remote: bool = False) -> Any:
    """Return transformers' configuration of the folder ``checkpoint``.

    Raises:
        HoldfastError: its config.json is missing, damaged, or of no model that is known here.
    """
    from transformers import AutoConfig

    try:
        with foreign_code_told(checkpoint):
            return AutoConfig.from_pretrained(checkpoint, trust_remote_code=remote)
    except HoldfastError as error:
        raise HoldfastError(f"{where}: {error}") from None
    except Exception as error:  # each model's own class looks at its settings in its own way
        raise HoldfastError(
            f"{where}: {checkpoint / 'config.json'} is not that of a language model known here"
            f" ({first_line(error)})"
        ) from None


def _layers(settings: ModelSettings, config: Any, checkpoint: Path, setting: str) -> int:
    """Return the checkpoint's number of decoder layers, after comparing it with the settings."""
    try:
        layers = int(config.get_text_config().num_hidden_layers)
    except (ValueError, KeyError, AttributeError) as error:
        raise HoldfastError(
            f"{setting}.{settings.kind}: {checkpoint / 'config.json'} is not that of a language"
            f" model known here ({first_line(error)})"
        ) from None
    if settings.layer_count is not None and settings.layer_count != layers:
        raise HoldfastError(
            f"{setting}.layers: {settings.layer_count} does not match the checkpoint, which has"
            f" {layers} decoder layers; write layers: {layers}"
        )
    return layers
