"""Names in the settings that must exist elsewhere in them."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.config import published
from holdfast.config.arm_references import check_arms
from holdfast.errors import HoldfastError
from holdfast.settings.cells import level_name
from holdfast.settings.names import known
from holdfast.settings.published import Comparison
from holdfast.settings.reads import Result
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


def check_references(settings: Settings) -> None:
    """Raise HoldfastError at the first name that refers to nothing, or that cannot be used."""
    _check_names(settings)
    check_arms(settings)
    _check_models(settings)
    _check_checkpoints(settings)
    for name, table in settings.tables.items():
        table.check(settings, f"tables.{name}")
        if comparison := table.comparison(settings):
            _check_published(settings, f"tables.{name}.published", table, comparison)
    for name, figure in settings.figures.items():
        figure.check(settings, f"figures.{name}")


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


def _check_published(settings: Settings, path: str, table: Result, comparison: Comparison) -> None:
    names, models = comparison.names, table.models_of(settings)
    known(f"{path}.table", names.table, published.tables())
    cells = published.read(names.table)
    for field, named, ours, theirs in (
        ("models", names.models, settings.models, published.vocabulary("model")),
        ("arms", names.arms, settings.arms, [section for _, section, *_ in cells]),
        (
            "perturbations",
            names.perturbations,
            settings.perturbations,
            published.vocabulary("perturbation"),
        ),
        ("metrics", names.metrics, comparison.metrics, published.vocabulary("metric")),
    ):
        for name, paper in named.items():
            known(f"{path}.{field}", name, ours)
            known(f"{path}.{field}.{name}", paper, theirs)
    for perturbation, levels in names.levels.items():
        known(f"{path}.levels", perturbation, settings.perturbations)
        have = [level for level, _ in settings.perturbations[perturbation].cells]
        for level, paper_level in levels.items():
            where = f"{path}.levels.{perturbation}"
            known(where, level_name(level), have)
            known(f"{where}.{level}", level_name(paper_level), published.vocabulary("level"))
    for field, shown, named in (
        ("models", models, names.models),
        ("arms", comparison.arms, names.arms),
    ):
        if not set(shown) & set(named):
            raise HoldfastError(
                f"{path}.{field}: none of the {field} shown ({', '.join(shown)}) has a published"
                " name; add one, or leave `published` out"
            )
    _check_published_cells(path, models, comparison)


def _check_published_cells(path: str, models: Sequence[str], comparison: Comparison) -> None:
    names = comparison.names
    cells = published.read(names.table)
    for perturbation, shown in comparison.levels.items():
        printed = any(
            published.place(names, model, arm, perturbation, level, metric) in cells
            for model in models
            for arm in names.arms
            for level in shown
            for metric in names.metrics
        )
        if not printed and (not perturbation or perturbation in names.perturbations):
            what = f"levels.{perturbation}" if any(shown) else "table"
            raise HoldfastError(
                f"{path}.{what}: published/{names.table}.csv has no number for"
                f" {' or '.join(sorted(shown)) if any(shown) else perturbation or 'these costs'};"
                " correct the names, or leave out what is not to be compared"
            )
