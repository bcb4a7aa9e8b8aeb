from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (stage, settings):
    from holdfast.arms.moves import make_move
    from holdfast.files.atomic import write_json
    from holdfast.settings.arms import STAGES

    cost = make_move(
        STAGES[stage].move_type.model_validate(settings),
        parent=Path(snakemake.input.lineage[0]),
        other=next(map(Path, snakemake.input.other), None),
        seed=int(snakemake.wildcards.seed),
        weights=Path(snakemake.output.weights),
    )
    names = {"model": snakemake.wildcards.model, "arm": snakemake.wildcards.arm}
    write_json(snakemake.output.cost, cost.model_dump() | names)
