from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, *_):
    from holdfast.checkpoints.base import prepare_model
    from holdfast.pocket.make import maker_of
    from holdfast.settings.models import ModelSettings

    model = ModelSettings.model_validate(settings)
    made_from = [Path(path) for path in snakemake.input]
    prepare_model(
        model,
        folder=Path(snakemake.output[0]),
        make=maker_of(model, Path(snakemake.params.scratch), made_from),
        setting=snakemake.params.setting,
        tokenizer=snakemake.params.tokenizer,
    )
