"""Whether the hub gives this user every model and data set, at the pinned commits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.checkpoints.shards import SHARD
from holdfast.config import HoldfastError, Settings
from holdfast.files.model_files import wanted
from holdfast.preflight import sources
from holdfast.preflight.finding import Finding, bad, good
from holdfast.preflight.repositories import offline, repository
from holdfast.settings.data import DataSource

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each checkpoint and data file of the hub."""
    checkpoints, files = sources.checkpoints(settings), sources.hub_data(settings)
    models = {path: source for path, source in checkpoints.items() if source.model.hub}
    if not models and not files:
        yield good("the config takes nothing from the hub")
    for path, source in models.items():
        yield _model(path, source)
    for path, file in files.items():
        yield _data(path, file)


def _model(path: str, source: sources.Source) -> Finding:
    name, revision = str(source.model.hub), str(source.model.revision)
    try:
        files = repository(name, revision, "model").files
    except HoldfastError as error:
        return bad(f"{path}.hub: {error}")
    return _finding(path, name, revision, [*missing(files, source.tokenizer != "none")])


def _data(path: str, source: DataSource) -> Finding:
    name, revision, file = str(source.hub), str(source.revision), str(source.file)
    try:
        files = repository(name, revision, "dataset").files
    except HoldfastError as error:
        return bad(f"{path}.hub: {error}")
    return _finding(path, name, revision, [] if file in files else [file])


def _finding(path: str, name: str, revision: str, missing: list[str]) -> Finding:
    if missing and offline():
        return bad(
            f"{path}.hub: {name} at {revision} has no {', '.join(missing)} in the cache; fetch it"
            " once online, with HF_HUB_OFFLINE unset"
        )
    if missing:
        return bad(
            f"{path}.hub: {name} at {revision} has no {', '.join(missing)}; choose another revision"
            " or repository"
        )
    state = "in the cache (offline: the hub was not asked)" if offline() else "open to you"
    return good(f"{path}: {name} at {revision[:12]} is {state}")


def missing(files: Iterable[str], tokenizer: bool) -> Iterator[str]:
    """Yield what a checkpoint needs and lacks."""
    files = set(files)
    if "config.json" not in files:
        yield "config.json"
    if tokenizer and not files.intersection(TOKENIZERS):
        yield f"tokenizer ({' or '.join(TOKENIZERS)})"
    if not any(wanted(file) and file.endswith(".safetensors") for file in files):
        yield ".safetensors file of weights"
    for match in [match for match in map(SHARD.fullmatch, sorted(files)) if match][:1]:
        start, number, end, count = match.groups()
        every = [f"{start}{shard:0{len(number)}d}{end}" for shard in range(1, int(count) + 1)]
        yield from (name for name in every if name not in files)
