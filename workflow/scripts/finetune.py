from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, max_length):
    from holdfast.perturbations.finetune import make_finetuned
    from holdfast.settings.perturbations import FineTune

    make_finetuned(
        FineTune.model_validate(settings),
        arm=Path(snakemake.input.lineage[0]),
        lineage=[Path(path) for path in snakemake.input.lineage],
        data=Path(snakemake.input.data),
        max_length=max_length,
        seed=int(snakemake.wildcards.seed),
        folder=Path(snakemake.output[0]),
        scratch=Path(snakemake.params.scratch) / "finetune",
    )
