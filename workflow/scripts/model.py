from pathlib import Path

from holdfast.job import job

with job(snakemake) as (settings,):
    from holdfast.checkpoints.base import prepare_model
    from holdfast.settings.models import ModelSettings

    prepare_model(
        ModelSettings.model_validate(settings),
        folder=Path(snakemake.output[0]),
        scratch=Path(snakemake.params.scratch),
        made_from=[Path(path) for path in snakemake.input],
        setting=snakemake.params.setting,
        tokenizer=snakemake.params.tokenizer,
    )
