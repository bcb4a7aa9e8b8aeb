from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings,):
    from holdfast.pocket.files import write_world
    from holdfast.settings.pocket import WorldSettings

    write_world(WorldSettings.model_validate(settings), Path(snakemake.output[0]))
