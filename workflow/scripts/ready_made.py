from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, *_):
    from holdfast.perturbations.checkpoint import prepare_checkpoints
    from holdfast.settings.quantization import Checkpoint

    prepare_checkpoints(
        Checkpoint.model_validate(settings),
        base=Path(snakemake.input[0]),
        folder=Path(snakemake.output[0]),
    )
