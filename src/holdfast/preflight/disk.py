"""Whether the disks hold what the config will write. Estimates, meant to be a little high."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from holdfast.config import Settings
from holdfast.engine.shape import Shape
from holdfast.files.atomic import members
from holdfast.files.model_files import wanted
from holdfast.plan import Plan
from holdfast.preflight import sources
from holdfast.preflight.finding import Finding, bad, good
from holdfast.preflight.repositories import given, repository
from holdfast.preflight.shapes import shapes
from holdfast.settings.arms import Arm

MARGIN = 1.1  # logs, manifests, file systems
BYTES_PER_TOKEN = 5
PROMPTS = 500  # of a set whose size is not in the settings
SCORES_BYTES = 10_000  # of a point of a sweep, with manifests and logs


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each file system that the run writes to."""
    plan = Plan(settings)
    results, points = Path(plan.paths.results), plan.arms.entries.keys() - settings.arms.keys()
    needs: dict[Path, dict[str, float]] = {results: _results(settings)}
    downloads = _downloads(settings)
    if downloads:
        needs[_hub_cache()] = {"downloads": downloads}
    disks: dict[int, list[Path]] = defaultdict(list)
    for folder in needs:
        disks[_existing(folder).stat().st_dev].append(folder)
    for folders in disks.values():
        parts = {name: part for folder in folders for name, part in needs[folder].items()}
        here = results in folders
        of_run, of_points = _written(results, points) if here else (0, 0)
        need = _left(sum(parts.values()), of_run)
        sweeps = _left(_sweeps(settings), of_points) if here else 0.0
        yield _finding(folders, parts, need, sweeps)


def _left(whole: float, written: int) -> float:
    return max(0.0, whole * MARGIN - written)


def _finding(folders: list[Path], parts: dict[str, float], need: float, sweeps: float) -> Finding:
    """``sweeps``: bytes beside ``need``, written only when a sweep is asked for."""
    free = shutil.disk_usage(_existing(folders[0])).free
    where = " and ".join(map(str, folders))
    told = ", ".join(f"{name} {_bytes(part)}" for name, part in parts.items() if part)
    text = f"{where}: about {_bytes(need)} to write{f' ({told})' if need else ''}"
    if free < need:
        return bad(
            f"{text}, {_bytes(free)} free; make room, link {where} to a larger disk (HF_HOME"
            " moves the hub's cache), or run fewer arms, seeds or GPTQ levels"
        )
    if sweeps:
        short = " (too much for this disk)" if free < need + sweeps else ""
        text = f"{text}, with `snakemake sweeps` {_bytes(sweeps)} more{short}"
    return good(f"{text}, {_bytes(free)} free")


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _results(settings: Settings) -> dict[str, float]:
    """Return the bytes that each kind of result takes."""
    plan, seeds, known = Plan(settings), len(settings.seeds), shapes(settings)
    bases = [shape for path, shape in known.items() if path.startswith("models.")]
    trained = [arm for arm in settings.arms.values() if arm.makes == "checkpoint"]
    perturbed = [e for arm in settings.arms for e in plan.evaluation.perturbed(arm).values()]
    grids = [bits for entry in perturbed for bits in entry.stored_bits]
    cells = sum(len(entry.cells) for entry in perturbed)
    prompts = sum(rows.limit or PROMPTS for rows in (settings.data.behaviors, settings.data.benign))
    answers = cells * seeds * prompts * settings.generation.max_new_tokens * BYTES_PER_TOKEN
    every = sources.checkpoints(settings)
    return {
        "models": sum(shape.weights for path, shape in known.items() if not every[path].where),
        "first-order arms": sum(shape.weights for shape in bases) * len(trained) * seeds,
        "training state": max((_state(shape, trained) for shape in bases), default=0),
        "GPTQ copies": sum(_quantized(shape, bits) for shape in bases for bits in grids) * seeds,
        "completions": answers * len(settings.models),
    }


def _sweeps(settings: Settings) -> float:
    """Return the bytes that the points of all sweeps take; an arm that is a point is no more."""
    plan, known = Plan(settings), shapes(settings)
    bases = [shape.weights for path, shape in known.items() if path.startswith("models.")]
    # A base whose shape is not known yet stores logs all the same.
    bases += [0] * (len(settings.models) - len(bases))
    points = [arm for name, arm in plan.arms.entries.items() if name not in settings.arms]
    size = sum(arm.stored_bytes(weights) + SCORES_BYTES for arm in points for weights in bases)
    return size * len(settings.seeds)


def _quantized(shape: Shape, bits: int) -> float:
    """Bytes of a copy whose linear modules take ``bits`` a weight; the rest stays as it is."""
    linear = shape.layers * shape.linear_parameters
    return linear * bits / 8 + (shape.parameters - linear) * shape.item


def _state(shape: Shape, trained: Sequence[Arm]) -> int:
    """Bytes of the float32 weights, and momentum, that a killed training resumes from."""
    copies = max((1 + arm.move.states for arm in trained), default=0)
    return copies * 4 * shape.parameters


def _downloads(settings: Settings) -> int:
    """Return the bytes of hub models that are not in the cache yet."""
    places = {source.where for source in sources.checkpoints(settings).values()}
    return sum(_missing(*place) for place in places if isinstance(place, tuple))


def _missing(name: str, revision: str) -> int:
    if not given(name, revision, "model"):
        return 0
    asked = repository(name, revision, "model")
    return sum(asked.files[file] for file in asked.missing if wanted(file))


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _written(results: Path, points: Collection[str]) -> tuple[int, int]:
    """Return the bytes of a run's files that are not, and that are, some points' of its sweeps."""
    sizes = [0, 0]
    for path in members(results):
        of_point = not set(points).isdisjoint(path.relative_to(results).parts)
        sizes[of_point] += path.stat().st_size
    return sizes[0], sizes[1]


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder
