"""Names in the settings that must exist elsewhere in them."""

from __future__ import annotations

from typing import Any

from holdfast.config import published
from holdfast.config.arm_references import check_arms
from holdfast.config.claims import check_claims
from holdfast.config.controls import check_controls
from holdfast.config.names import known
from holdfast.errors import HoldfastError
from holdfast.settings.cells import level_name
from holdfast.settings.run import Settings
from holdfast.settings.selections import selected

# First-level folders of a run, which a model's folder would collide with.
RESERVED = (
    "benchmarks",
    "data",
    "figures",
    "judges",
    "logs",
    "models",
    "world",
    "scratch",
    "sweeps",
    "tables",
    "validation",
)
RULES = (
    "agreement",
    "all",
    "base_model",
    "data",
    "evaluate",
    "export",
    "factors",
    "figure",
    "figures",
    "finetune",
    "first_order",
    "judge",
    "judge_model",
    "layer_scores",
    "move",
    "pocket_world",
    "preflight",
    "quantize",
    "quantize_gptqmodel",
    "ready_made",
    "robustness_gap",
    "selection",
    "summary",
    "sweep",
    "sweeps",
    "table",
    "tables",
    "validation",
    "zeroth_order",
)
MEASURES = ("perplexity", "lm_eval", "over_refusal", "degenerate")
COSTS = ("wall_s", "peak_memory_bytes", "forward_passes")


def check_references(settings: Settings) -> None:
    """Raise HoldfastError at the first name that refers to nothing, or that cannot be used."""
    _check_names(settings)
    check_arms(settings)
    _check_models(settings)
    _check_checkpoints(settings)
    for name, table in settings.tables.items():
        _check_entry(settings, f"tables.{name}", table)
        if getattr(table, "published", None):
            _check_published(settings, f"tables.{name}.published", table)
    for name, figure in settings.figures.items():
        _check_entry(settings, f"figures.{name}", figure)


def _check_names(settings: Settings) -> None:
    for name in settings.models:
        if name in RESERVED:
            raise HoldfastError(f"models.{name}: this name is taken by a results folder; rename it")
    for name in ("layers", "verdicts", "weights", "export", "factors"):
        if name in settings.perturbations:
            raise HoldfastError(f"perturbations.{name}: this name is taken by a results folder")
    swept = [f"sweep_{name}" for name, arm in settings.arms.items() if arm.swept]
    targets = [*settings.tables, *settings.figures, *swept]
    for name in targets:
        if name in RULES or targets.count(name) > 1:
            raise HoldfastError(
                f"tables or figures.{name}: this name is taken by another target; rename it"
            )


def _check_models(settings: Settings) -> None:
    for name, model in settings.models.items():
        if model.pocket_judge:
            raise HoldfastError(f"models.{name}: a `pocket_judge` belongs under `judges`")
        if model.layer_count is None:
            raise HoldfastError(
                f"models.{name}.layers: this setting is required for `{model.kind}`"
            )
        for selection, entry in settings.selections.items():
            if not 1 <= selected(entry.top_m, model.layer_count) <= model.layer_count:
                amount = "more than" if entry.top_m >= 1 else "less than one of"
                raise HoldfastError(
                    f"selections.{selection}.top_m: {entry.top_m} is {amount} the"
                    f" {model.layer_count} layers of models.{name}"
                )
    if settings.pocket_judges and not any(model.pocket for model in settings.models.values()):
        raise HoldfastError(
            f"judges.{settings.pocket_judges[0]}.model: a `pocket_judge` learns from the embedded"
            " world's base model; add a model with `pocket` to `models`"
        )


def _check_checkpoints(settings: Settings) -> None:
    for name, entry in settings.perturbations.items():
        for level, variants in entry.variants.items():
            path = f"perturbations.{name}.levels.{level}"
            for variant in variants:
                known(f"{path}.model", variant.model, settings.models)
                known(f"{path}.arm", variant.arm, settings.arms)
                trained = settings.arms[variant.arm].parent is not None
                if trained and len(settings.seeds) > 1:
                    raise HoldfastError(
                        f"{path}.arm: a checkpoint is a copy of one training seed, and `seeds` has"
                        f" {len(settings.seeds)}; give one seed, or a copy of an arm whose stage is"
                        " `original`"
                    )


def _check_entry(settings: Settings, path: str, entry: Any) -> None:
    for model in settings.models_of(entry):
        known(f"{path}.models", model, settings.models)
    if hasattr(entry, "sections"):
        for where, section in zip(_places(path, entry), entry.sections, strict=True):
            _check_cells(settings, where, [section.arm], section)
            if section.reference:
                known(f"{where}.reference.arm", section.reference.arm, settings.arms)
                if section.reference.perturbation == "none":
                    known(f"{where}.reference", "none", settings.perturbations)
        check_controls(settings, path, entry)
        if entry.kind == "claims":
            check_claims(settings, path, entry, MEASURES)
    elif entry.kind == "asr_bars":
        _check_cells(settings, path, entry.arms, entry)
    elif entry.kind == "asr_curve":
        _check_curve(settings, path, entry)
    elif entry.kind == "cost":
        for arm in entry.arms:
            known(f"{path}.arms", arm, settings.arms)
            if not settings.arms[arm].has_cost:
                raise HoldfastError(f"{path}.arms: '{arm}' has no stage whose cost could be shown")
    elif entry.kind == "loss_curve":
        for arm in entry.arms:
            known(f"{path}.arms", arm, settings.arms)
            if not settings.arms[arm].has_history:
                raise HoldfastError(
                    f"{path}.arms: '{arm}' has no training loss to show: name first-order arms"
                )
    elif entry.kind in ("gap", "gap_curve"):
        for arm in entry.arms:
            known(f"{path}.arms", arm, settings.arms)
        for arm, reference in getattr(entry, "references", {}).items():
            known(f"{path}.references", arm, entry.arms)
            known(f"{path}.references.{arm}", reference, settings.arms)
    elif entry.kind == "layer_scores":
        known(f"{path}.arm", entry.arm, settings.arms)
        for series in entry.series:
            known(f"{path}.series", series.selection, settings.selections)
    metrics = getattr(entry, "metrics", [])
    metrics = list(settings.judges) if metrics == "all" else metrics
    measures = MEASURES if entry.kind == "robustness" else ()
    for metric in metrics:
        known(f"{path}.metrics", metric, [*settings.judges, *measures])
    if entry.kind == "judge_kappa" and len(metrics) < 2:
        raise HoldfastError(f"{path}.metrics: a pair of judges is needed, not {len(metrics)}")


def _places(path: str, entry: Any) -> list[str]:
    """Return where in the config each section of a table is."""
    if entry.kind == "claims":
        return [f"{path}.catalogue.{name}" for name in entry.changes]
    numbers = range(len(entry.sections))
    robustness = entry.kind == "robustness"
    return [f"{path}.sections.{number}" if robustness else path for number in numbers]


def _check_curve(settings: Settings, path: str, entry: Any) -> None:
    for arm in entry.arms:
        known(f"{path}.arms", arm, settings.arms)
    known(f"{path}.perturbations", "none", settings.perturbations)
    for name in entry.perturbations:
        known(f"{path}.perturbations", name, settings.perturbations)
        if not settings.perturbations[name].symbol:
            numeric = [other for other, entry in settings.perturbations.items() if entry.symbol]
            raise HoldfastError(
                f"{path}.perturbations: the levels of '{name}' are no numbers; name a perturbation"
                f" whose levels are, such as {' or '.join(numeric) or 'one of kind weight_noise'}"
            )


def _check_cells(settings: Settings, path: str, arms: list[str], part: Any) -> None:
    for arm in arms:
        known(f"{path}.arm", arm, settings.arms)
    if part.perturbations != "all":
        for name in part.perturbations:
            known(f"{path}.perturbations", name, settings.perturbations)
    for name, wanted in part.levels.items():
        known(f"{path}.levels", name, settings.perturbations)
        have = [level for level, _ in settings.perturbations[name].cells]
        for level in wanted:
            known(f"{path}.levels.{name}", level_name(level), have)


def _check_published(settings: Settings, path: str, entry: Any) -> None:
    names = entry.published
    known(f"{path}.table", names.table, published.tables())
    cells = published.read(names.table)
    metrics = COSTS if entry.kind == "cost" else [*settings.judges, *MEASURES]
    for field, ours, theirs in (
        ("models", settings.models, published.vocabulary("model")),
        ("arms", settings.arms, [section for _, section, *_ in cells]),
        ("perturbations", settings.perturbations, published.vocabulary("perturbation")),
        ("metrics", metrics, published.vocabulary("metric")),
    ):
        for name, paper in getattr(names, field).items():
            known(f"{path}.{field}", name, ours)
            known(f"{path}.{field}.{name}", paper, theirs)
    for perturbation, levels in names.levels.items():
        known(f"{path}.levels", perturbation, settings.perturbations)
        have = [level for level, _ in settings.perturbations[perturbation].cells]
        for level, paper in levels.items():
            where = f"{path}.levels.{perturbation}"
            known(where, level_name(level), have)
            known(f"{where}.{level}", level_name(paper), published.vocabulary("level"))
    arms = entry.arms if entry.kind == "cost" else [section.arm for section in entry.sections]
    for field, shown in (("models", settings.models_of(entry)), ("arms", arms)):
        if not set(shown) & set(getattr(names, field)):
            raise HoldfastError(
                f"{path}.{field}: none of the {field} shown ({', '.join(shown)}) has a published"
                " name; add one, or leave `published` out"
            )
    _check_published_cells(settings, path, entry)


def _check_published_cells(settings: Settings, path: str, entry: Any) -> None:
    names = entry.published
    cells = published.read(names.table)
    for perturbation, shown in _shown_levels(settings, entry).items():
        found = any(
            published.place(names, model, arm, perturbation, level, metric) in cells
            for model in settings.models_of(entry)
            for arm in names.arms
            for level in shown
            for metric in names.metrics
        )
        if not found and (not perturbation or perturbation in names.perturbations):
            what = f"levels.{perturbation}" if any(shown) else "table"
            raise HoldfastError(
                f"{path}.{what}: published/{names.table}.csv has no number for"
                f" {' or '.join(sorted(shown)) if any(shown) else perturbation or 'these costs'};"
                " correct the names, or leave out what is not to be compared"
            )


def _shown_levels(settings: Settings, entry: Any) -> dict[str, set[str]]:
    """Return the levels that a table shows, by perturbation; a cost table has the empty one."""
    if entry.kind == "cost":
        return {"": {""}}
    shown: dict[str, set[str]] = {}
    for section in entry.sections:
        every = section.perturbations == "all"
        for name in settings.perturbations if every else section.perturbations:
            tested = [level for level, _ in settings.perturbations[name].cells]
            levels = section.levels.get(name) or tested
            shown.setdefault(name, set()).update(map(level_name, levels))
    return shown
