from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, labels, meaningless):
    from holdfast.settings.labels import Labels
    from holdfast.settings.sweeps import SweepResult
    from holdfast.sweeps.table import make_sweep

    make_sweep(
        SweepResult.model_validate(settings),
        Labels.model_validate(labels),
        [Path(path) for path in snakemake.input],
        snakemake.output.csv.removesuffix(".csv"),
        meaningless,
    )
