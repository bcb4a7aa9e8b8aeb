from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judge, perturbations):
    from holdfast.files.atomic import write_json
    from holdfast.pocket.agreement import agreement

    given = snakemake.input
    files = zip(perturbations, map(Path, given.verdicts), map(Path, given.completions), strict=True)
    agreed = agreement(judge["model"]["pocket_judge"]["labels"], Path(given.world), files)
    write_json(snakemake.output[0], agreed | {"judge": snakemake.wildcards.judge})
