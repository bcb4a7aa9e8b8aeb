from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, labels, meaningless):
    from pydantic import TypeAdapter

    from holdfast.results.make import make_table
    from holdfast.settings.labels import Labels
    from holdfast.settings.tables import TableSettings

    make_table(
        snakemake.wildcards.table,
        TypeAdapter(TableSettings).validate_python(settings),
        Labels.model_validate(labels),
        [Path(path) for path in snakemake.input.parts],
        snakemake.output.csv.removesuffix(".csv"),
        [Path(path) for path in snakemake.input.behaviors],
        meaningless,
    )
