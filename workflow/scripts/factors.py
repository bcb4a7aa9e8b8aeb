from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (rank,):
    from holdfast.arms.lox import make_factors
    from holdfast.files.atomic import write_json

    usage = make_factors(
        Path(snakemake.output.factors),
        aligned=Path(snakemake.input.aligned[0]),
        base=Path(snakemake.input.base[0]),
        rank=rank,
    )
    write_json(snakemake.output.cost, usage.model_dump())
