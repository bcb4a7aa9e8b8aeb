from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, labels, meaningless):
    from pydantic import TypeAdapter

    from holdfast.results.make import make_figure
    from holdfast.settings.figures import FigureSettings
    from holdfast.settings.labels import Labels

    make_figure(
        snakemake.wildcards.figure,
        TypeAdapter(FigureSettings).validate_python(settings),
        Labels.model_validate(labels),
        [Path(path) for path in snakemake.input],
        snakemake.output.svg.removesuffix(".svg"),
        meaningless,
    )
