from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judge, perturbations):
    from holdfast.files.atomic import write_json
    from holdfast.pocket.agreement import agreement

    completions = iter(map(Path, snakemake.input.completions))
    arms = [
        (Path(verdicts), {name: next(completions) for name in names})
        for verdicts, names in zip(snakemake.input.verdicts, perturbations, strict=True)
    ]
    labels = judge["model"]["pocket_judge"]["labels"]
    found = agreement(labels, Path(snakemake.input.world), arms)
    write_json(snakemake.output[0], found | {"judge": snakemake.wildcards.judge})
