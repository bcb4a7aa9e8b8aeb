from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake):
    from holdfast.arms.export import export

    export(Path(snakemake.input[0]), Path(snakemake.output[0]))
