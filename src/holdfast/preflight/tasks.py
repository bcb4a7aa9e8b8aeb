"""Whether lm-eval knows its tasks, and the hub gives their data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.config import Settings
from holdfast.errors import nearest
from holdfast.files.hub import advice, cache_folder
from holdfast.preflight.finding import Finding, bad, good
from holdfast.preflight.repositories import TIMEOUT_S, offline


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each task of lm-eval's own and for each data set that they take."""
    entries = settings.utility.lm_eval.tasks.items()
    wanted = [name for name, task in entries if task.data is None]
    if not wanted:
        yield good("the config takes no task from lm-eval's registry")
        return
    index = registry()
    named: set[str] = set()
    for name in wanted:
        path = f"utility.lm_eval.tasks.{name}"
        if name in index:
            named.update(data_sets(index, name))
        else:
            hint = nearest(name, index) or "; `lm-eval ls tasks` lists them"
            yield bad(f"{path}: lm-eval has no task '{name}'{hint}")
    for data_set in sorted(named):
        yield _access(data_set)


def registry() -> Mapping[str, Any]:
    """Return lm-eval's own tasks, groups and tags by name; reading them takes seconds."""
    from lm_eval.tasks import TaskManager

    index: Mapping[str, Any] = TaskManager().task_index
    return index


def data_sets(index: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield the data sets on the hub that a task, or a group's or tag's tasks, take."""
    entry = index[name]
    config = entry.cfg or {}
    if entry.kind.name == "TAG":
        members: list[Any] = sorted(entry.tags)
    elif entry.kind.name == "GROUP":
        members = config.get("task") or []
    else:
        members = []
        if "/" in str(config.get("dataset_path", "")):
            yield config["dataset_path"]
    for member in members:
        child = str(member.get("task") if isinstance(member, dict) else member)
        if child in index:
            yield from data_sets(index, child)


def _access(name: str) -> Finding:
    if offline():
        if any(folder.exists() for folder in _cached(name)):
            return good(f"lm-eval's {name} is in the cache (offline: the hub was not asked)")
        return bad(f"lm-eval's {name} is not in the cache; run its task once online")
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        if api.dataset_info(name, timeout=TIMEOUT_S).gated:
            api.auth_check(name, repo_type="dataset")
    except Exception as error:  # whatever it is, the other checks go on
        return bad(f"lm-eval's {name} {advice(error, name, 'dataset')}")
    return good(f"lm-eval's {name} is open to you")


def _cached(name: str) -> list[Path]:
    """Return where the hub's files of a data set, and its rows made of them, are kept."""
    from huggingface_hub import constants

    return [
        cache_folder(name, "dataset"),
        Path(constants.HF_HOME) / "datasets" / name.replace("/", "___").lower(),
    ]
