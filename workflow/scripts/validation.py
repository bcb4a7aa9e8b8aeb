from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (validation, safety, *_):
    from holdfast.settings.data import DataSource, Validation
    from holdfast.sweeps.held_out import hold_out

    given, made, places = snakemake.input, snakemake.output, snakemake.params
    hold_out(
        Validation.model_validate(validation),
        DataSource.model_validate(safety),
        trained=[Path(given[name]) for name in ("alignment", "safety", "calibration")],
        behaviors=Path(given.behaviors),
        benign=Path(given.benign),
        tasks=[Path(path) for path in given.tasks],
        out={name: Path(made[name]) for name in ("pairs", "behaviors", "benign")},
        data_root=places.data_root,
        pocket_folder=places.pocket,
        cache_folder=places.cache,
    )
