from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, max_length):
    from holdfast.evaluation.evaluate import weights_digest
    from holdfast.files.atomic import write_json
    from holdfast.gap.make import make_gap
    from holdfast.settings.gap import GapSettings

    gap = make_gap(
        GapSettings.model_validate(settings),
        lineage=[Path(path) for path in snakemake.input.lineage],
        data=Path(snakemake.input.data),
        max_length=max_length,
        seed=int(snakemake.wildcards.seed),
        scratch=Path(snakemake.params.scratch),
    )
    names = {name: snakemake.wildcards[name] for name in ("model", "arm")}
    weights = weights_digest(snakemake.input.lineage)
    about = names | {"seed": int(snakemake.wildcards.seed), "weights": weights}
    write_json(snakemake.output[0], about | gap.model_dump(mode="json"))
