from pathlib import Path
from shutil import rmtree

from holdfast.jobs.frame import job

with job(snakemake) as (settings, max_length):
    from pydantic import TypeAdapter

    from holdfast.files.atomic import write_json
    from holdfast.layers.make import make_scores
    from holdfast.settings.selections import SelectionSettings

    scores = make_scores(
        TypeAdapter(SelectionSettings).validate_python(settings),
        lineage=[Path(path) for path in snakemake.input.lineage],
        data=Path(snakemake.input.data),
        max_length=max_length,
        layers=snakemake.params.layers,
        seed=int(snakemake.wildcards.seed),
        scratch=Path(snakemake.params.scratch),
    )
    write_json(snakemake.output[0], scores)
rmtree(snakemake.params.scratch, ignore_errors=True)
